"""What `import voxloop` offers, and how little processor time it costs."""

from __future__ import annotations

import statistics
import subprocess
import sys

import voxloop

HEAVY = ("torch", "vtk", "vtkmodules", "matplotlib", "SimpleITK", "nibabel", "scipy")
TIMED_IMPORT = """
import sys, time
start = time.process_time()
import voxloop
print(time.process_time() - start)
print(*{module.partition(".")[0] for module in sys.modules})
"""
TIMED_HELP = """
import sys, time
start = time.process_time()
from voxloop.cli.main import execute
code = execute(["--help"])
print(time.process_time() - start, code, file=sys.stderr)
print(*{module.partition(".")[0] for module in sys.modules}, file=sys.stderr)
"""


def test_public_names_are_sorted_and_explained() -> None:
    assert list(voxloop.__all__) == sorted(voxloop.__all__)
    for name in voxloop.__all__:
        assert (getattr(voxloop, name).__doc__ or "").strip(), name


def test_importing_is_quick_and_brings_nothing_heavy() -> None:
    runs = [_python(TIMED_IMPORT).stdout.splitlines() for _ in range(3)]
    assert not set(runs[0][1].split()) & set(HEAVY)
    assert statistics.median(float(run[0]) for run in runs) < 0.3


def test_help_is_quick_and_brings_nothing_heavy() -> None:
    runs = [_python(TIMED_HELP).stderr.splitlines() for _ in range(3)]
    assert all(run[0].split()[1] == "0" for run in runs)
    assert not set(runs[0][1].split()) & set(HEAVY)
    assert statistics.median(float(run[0].split()[0]) for run in runs) < 1.0


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
