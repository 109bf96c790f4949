"""Tell which layout a folder has, and read it."""

from __future__ import annotations

from pathlib import Path

from voxloop.dataset.dataset import Dataset
from voxloop.dataset.index import INDEX, read_index
from voxloop.dataset.msd import read_msd
from voxloop.dataset.nnunet import read_nnunet
from voxloop.dataset.plain import read_plain
from voxloop.errors import DataError, Problem

__all__ = ["read_dataset"]


def read_dataset(folder: Path) -> Dataset:
    """Read a data set in the layout of nnU-Net v2 raw, of the Decathlon, or a plain folder.

    A `dataset.json` with `channel_names` is nnU-Net's, one with `modality` the Decathlon's;
    without one the folder is plain. No voxel is read; `check_dataset` does that.

    Raises:
        DataError: if the folder is absent, holds no scan, or its files do not fit together.
    """
    if not folder.is_dir():
        raise DataError(Problem(str(folder), "a folder of scans", "none", "check the path"))
    if not (folder / INDEX).is_file():
        return read_plain(folder)
    index = read_index(folder)
    if "channel_names" in index:
        return read_nnunet(folder)
    if "modality" in index:
        return read_msd(folder)
    raise DataError(
        Problem(
            str(folder / INDEX),
            "'channel_names' (nnU-Net v2) or 'modality' (Decathlon)",
            f"the keys {sorted(index)}",
            "add what is missing, or remove the file if the folder is a plain one of scans",
        )
    )
