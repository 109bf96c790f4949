"""Fixtures that several test folders share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from disks import require_mounts
from study import Study, make_study

# the first example of a property pays for imports; time is measured in benchmarks, not here
settings.register_profile("voxloop", deadline=None)
settings.load_profile("voxloop")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real scans, from VOXLOOP_DATA or beside the checkout; skips when absent."""
    folder = Path(os.environ.get("VOXLOOP_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "hippocampus" / "dataset.json").exists():
        pytest.skip("real scans not found: set VOXLOOP_DATA or put them in ../shared/data")
    return folder


@pytest.fixture
def study(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Study:
    """A small workspace with deliveries beside it, as the command line made it."""
    made = make_study(tmp_path)
    capfd.readouterr()
    return made


@pytest.fixture
def mounts(tmp_path: Path) -> None:
    """Skips where the system lets nobody mount disks."""
    require_mounts(tmp_path)
