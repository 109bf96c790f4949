"""Whatever bytes a file holds, reading it ends in voxels or in one of our own errors."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import phantoms
from voxloop.errors import DataError, LimitError, VoxloopError
from voxloop.io.formats import read_volume, write_volume
from voxloop.volume.volume import Volume

GEOMETRY = phantoms.oblique_geometry((4, 5, 3))

damage = st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), min_size=1, max_size=4)


def read_or_refuse(path: Path) -> Volume | VoxloopError:
    try:
        return read_volume(path)
    except (DataError, LimitError) as error:
        return error


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
@settings(max_examples=150, deadline=None)
@given(damage=damage)
def test_damaged_bytes_never_escape_as_foreign_errors(
    suffix: str, damage: list[tuple[int, int]]
) -> None:
    values = np.arange(60, dtype=np.int16).reshape(GEOMETRY.shape)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"scan{suffix}"
        write_volume(path, Volume(values, GEOMETRY))
        content = bytearray(path.read_bytes())
        for position, value in damage:
            content[position % len(content)] = value
        path.write_bytes(content)
        outcome = read_or_refuse(path)
    if isinstance(outcome, Volume):
        assert np.isfinite(outcome.array).all()
        assert outcome.array.shape == outcome.geometry.shape
    else:
        assert str(path) in str(outcome)
