"""A tiny model and tiny scans, sound ones and broken ones, for tests of batches."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from phantoms import ellipsoid_mask, oblique_geometry
from plans import small_plan
from voxloop.io.formats import write_volume
from voxloop.model.checkpoint import Checkpoint, save_checkpoint
from voxloop.model.unet import build_network
from voxloop.volume.volume import Volume

__all__ = ["BROKEN", "write_model", "write_scan"]

GEOMETRY = oblique_geometry((12, 11, 7), (1.1, 1.2, 2.1))
DIM = 40
"""Offset of the number of axes and their lengths in a NIfTI-1 header."""


def write_model(path: Path, seed: int = 0) -> Path:
    """Write a model that has learned nothing: two labels, of values 1 and 4, one channel."""
    plan = small_plan(patch_shape=(16, 16, 8))
    save_checkpoint(path, Checkpoint(plan, build_network(plan, seed).state_dict(), {}))
    return path


def write_scan(path: Path, seed: int = 0) -> Path:
    """Write a sound scan."""
    noise = np.random.default_rng(seed).normal(0, 10, GEOMETRY.shape)
    array = 100.0 * ellipsoid_mask(GEOMETRY, (4, 4, 6)) + noise
    write_volume(path, Volume(array.astype(np.float32), GEOMETRY))
    return path


def truncated(path: Path) -> None:
    content = write_scan(path).read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def text(path: Path) -> None:
    path.write_text("see the other folder\n")


def four_axes(path: Path) -> None:
    array = np.zeros((*GEOMETRY.shape, 2), dtype=np.uint8)
    nib.Nifti1Image(array, GEOMETRY.matrix).to_filename(path)


def not_a_number(path: Path) -> None:
    array = np.ones(GEOMETRY.shape, dtype=np.float32)
    array[1, 2, 3] = np.nan
    nib.Nifti1Image(array, GEOMETRY.matrix).to_filename(path)


def second_channel(path: Path) -> None:
    """Two channels where the model has one."""
    for number in range(2):
        write_scan(path.with_name(path.name.replace(".nii.gz", f"_{number:04d}.nii.gz")))


def empty(path: Path) -> None:
    path.touch()


def absurd_header(path: Path) -> None:
    content = bytearray(gzip.decompress(write_scan(path).read_bytes()))
    struct.pack_into("<4h", content, DIM, 3, 30000, 30000, 30000)
    path.write_bytes(gzip.compress(content))


def loop_of_links(path: Path) -> None:
    path.symlink_to(path.name)


BROKEN: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "truncated": (truncated, "the end of the file before", "copy or export the file again"),
    "text": (text, "something else", "export the scan again"),
    "four_axes": (four_axes, "a 4D one", "3D file"),
    "not_a_number": (not_a_number, "1 of 924 voxels that are NaN", "replace them"),
    "second_channel": (second_channel, "2 (second_channel_0000", "rename what belongs to another"),
    "empty": (empty, "an empty file", "copy the file again"),
    "folder": (Path.mkdir, "a folder", "rename the folder"),
    "absurd_header": (absurd_header, "cannot hold them", "copy or export the file again"),
    "loop_of_links": (loop_of_links, "symbolic links", "check the disk"),
}
"""How a scan is broken, what is said to be found, and what to do."""
