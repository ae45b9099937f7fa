"""The peak is that of the program alone, whatever the process that began it held."""

import subprocess
import sys

import pytest

from cryoinv.refinement.output import peak_memory_mib

CODE = "from cryoinv.refinement.output import peak_memory_mib; print(peak_memory_mib())"
PARENT = f"import subprocess, sys; x = bytearray(1 << 30); subprocess.run([sys.executable, '-c', {CODE!r}])"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not say")
def test_what_a_parent_holds_does_not_count():
    done = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True, check=True)
    assert 50 < float(done.stdout) < 1000


def test_it_never_falls():
    before = peak_memory_mib()
    block = bytearray(64 << 20)
    assert peak_memory_mib() >= before
    del block
    assert peak_memory_mib() >= before + 30 or before > 1000
