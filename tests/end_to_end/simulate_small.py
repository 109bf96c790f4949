"""The command `voxloop simulate`, with networks of a few thousand weights.

Workers import this file as well, so they have small networks, too.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from pathlib import Path

import numpy as np

from phantoms import ellipsoid_mask, oblique_geometry
from plans import narrow_networks
from voxloop.cli import main
from voxloop.compute.atomic import write_json
from voxloop.io.formats import write_label_map, write_volume
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume

__all__ = ["write_eggs"]

LABELS = LabelTable.from_names("white", "yolk")


def write_eggs(folder: Path, count: int) -> Path:
    """Write scans of small eggs in nnU-Net layout; give the folder."""
    rng = np.random.default_rng(0)
    for number in range(count):
        geometry = oblique_geometry((16, 15, 10), (1.1, 1.2, 1.9))
        offset = tuple(rng.uniform(-1, 1, 3).tolist())
        white = ellipsoid_mask(geometry, (6.0, 7.0, 8.0), offset)
        yolk = ellipsoid_mask(geometry, (3.0, 3.5, 4.0), offset)
        labels = white.astype(np.uint8) + yolk
        array = 80.0 * labels + rng.normal(0, 10, geometry.shape)
        write_volume(
            folder / "imagesTr" / f"egg{number}_0000.nii.gz", Volume(array.astype("f4"), geometry)
        )
        write_label_map(
            folder / "labelsTr" / f"egg{number}.nii.gz", LabelMap(labels, geometry, LABELS)
        )
    document = {
        "channel_names": {"0": "MR"},
        "labels": {"background": 0, "white": 1, "yolk": 2},
        "numTraining": count,
        "file_ending": ".nii.gz",
    }
    write_json(folder / "dataset.json", document)
    return folder


_small = contextlib.ExitStack()
if __name__ in {"__main__", "__mp_main__"}:
    _small.enter_context(narrow_networks("voxloop.active.trial.campaign"))

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the program itself does
    sys.exit(main.execute(["simulate", *sys.argv[1:]]))
