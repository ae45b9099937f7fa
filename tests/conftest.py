"""Fixtures that several rooms' tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples every time, few enough for every run; `pytest --hypothesis-profile search` looks further.
_COMMON = {"deadline": None, "database": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("bounded", max_examples=30, derandomize=True, **_COMMON)
settings.register_profile("search", max_examples=1000, **_COMMON)
settings.load_profile("bounded")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real structures, maps and particles; tests that need it are skipped where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CRYOINV_SHARED", default))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder} (set CRYOINV_SHARED)")
    return folder


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """The arrays of the tests are tiny: threads would cost more than they give."""
    import torch

    torch.set_num_threads(1)
