"""Phantom bodies whose left and right differ, stored every way a scan can be, and a small network.

Files that the tests of whole loops share.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from phantoms import ellipsoid_mask, oblique_geometry
from plans import narrow_networks
from voxloop.io.formats import write_label_map, write_volume
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume

__all__ = ["FLIPS", "LABELS", "small_network", "write_bodies"]

LABELS = LabelTable.from_names("left lobe", "right lobe")

FLIPS = [(a, b, c) for a in (False, True) for b in (False, True) for c in (False, True)]


def write_bodies(folder: Path, numbers: range) -> dict[str, LabelMap]:
    """Write scans to `folder/scans` and references to `folder/references`; give the references.

    The larger lobe is the patient's left one and brighter; both lie in a body of medium grey.
    Grids are oblique and anisotropic, each flipped in its own way, every third one permuted.
    """
    references = {}
    for number in numbers:
        rng = np.random.default_rng(number)
        geometry = _grid(number, rng)
        x, y, z = rng.uniform(-1, 1, 3)
        left = ellipsoid_mask(geometry, (4.5, 6.0, 8.0), (x - 6, y + 1, z + 1))
        right = ellipsoid_mask(geometry, (3.5, 4.5, 6.5), (x + 6, y - 1, z - 2))
        body = ellipsoid_mask(geometry, (14.0, 11.0, 16.0))
        array = 100.0 * body + 120.0 * left + 60.0 * right + rng.normal(0, 12, geometry.shape)
        labels = left.astype(np.uint8)
        labels[right] = 2
        case_id = f"body{number}"
        reference = LabelMap(labels, geometry, LABELS)
        write_volume(folder / "scans" / f"{case_id}.nii.gz", Volume(array.astype("f4"), geometry))
        write_label_map(folder / "references" / f"{case_id}.nii.gz", reference)
        references[case_id] = reference
    return references


def _grid(number: int, rng: np.random.Generator) -> Geometry:
    tilt = rng.uniform(-0.25, 0.25, 3)
    geometry = oblique_geometry(
        (26, 22, 14), (1.1, 1.0, 2.4), (tilt[0], tilt[1], tilt[2]), FLIPS[number % 8]
    )
    if number % 3 != 2:
        return geometry
    matrix = geometry.matrix.copy()
    matrix[:3, :3] = matrix[:3, [2, 0, 1]]
    return Geometry.from_affine((14, 26, 22), matrix)


@contextlib.contextmanager
def small_network() -> Iterator[None]:
    """Plans within the block ask for a network of a few thousand weights and small batches."""
    with narrow_networks("voxloop.workspace.actions.train", width=8):
        yield
