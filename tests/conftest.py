"""Fixtures that several test folders share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

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
