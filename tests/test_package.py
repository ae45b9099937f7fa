"""The package as a whole: names, import time, what it leaves alone."""

import subprocess
import sys
from pathlib import Path

import pytest

import cryoinv


def fresh(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", cryoinv.__all__)
def test_every_public_name_is_there(name):
    assert getattr(cryoinv, name).__doc__


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no_such_thing"):
        cryoinv.no_such_thing  # noqa: B018


def test_import_costs_little_more_than_torch():
    """At most a second more than torch itself, the operators and solvers included."""
    code = (
        "import time; a = time.perf_counter(); import torch; b = time.perf_counter();"
        "import cryoinv; c = time.perf_counter(); print(c - b)"
    )
    assert min(float(fresh(code)) for _ in range(2)) < 1.0


ROOMS = ["spaces", "operators", "noise", "likelihood", "priors", "solvers", "geometry", "io", "metrics"]
ROOMS += ["simulation", "refinement", "comparison", "plotting", "testing", "cli.main"]


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_do_not_import_what_they_may_not_need(room):
    code = (
        f"import sys, cryoinv.{room};"
        "print([m for m in ('matplotlib', 'gemmi', 'finufft', 'numba', 'pandas', 'starfile') if m in sys.modules])"
    )
    assert fresh(code).strip() == "[]"


def test_import_leaves_print_options_alone():
    code = (
        "import numpy as np; a = np.get_printoptions(); import cryoinv.operators, cryoinv.priors;"
        "print(a == np.get_printoptions())"
    )
    assert fresh(code).strip() == "True"


@pytest.mark.parametrize("how", ["not-found", "none"])
def test_training_code_needs_neither_numba_nor_finufft_nor_pandas(how):
    script = Path(__file__).with_name("training_alone.py")
    done = subprocess.run([sys.executable, script, how], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
