"""Networks on the processor compute in pages that they had before."""

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src"
PROGRAM = """
import resource
import sys

import numpy as np

from pipeline.networks.allocator import keep_freed

if sys.argv[1] == "kept":
    assert keep_freed()


def layers():
    for _ in range(50):
        np.ones(2**22 + 2**16)  # 33.5 MB, more than the library keeps by itself


layers()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
layers()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is the GNU C library's")
def test_pages_that_are_given_back_are_used_again() -> None:
    fresh, kept = (_faults(how) for how in ("fresh", "kept"))
    assert kept < 100
    # Unless large pages take their place, a page is 4 KiB: 8,192 for each of fifty arrays.
    assert fresh > 10 * kept


def _faults(how: str) -> int:
    call = [sys.executable, "-c", PROGRAM, how]
    done = subprocess.run(call, check=True, capture_output=True, text=True, env={"PYTHONPATH": str(SOURCE)})
    return int(done.stdout)
