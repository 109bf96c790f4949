"""A small workspace made through the command line, and a look at all that is in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.cli import main
from voxloop.io.formats import write_label_map, write_volume
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume
from voxloop.workspace.layout import Layout
from voxloop.workspace.store import TABLES, Store

__all__ = ["GEOMETRY", "LABELS", "Study", "everything_in", "make_study", "voxloop"]

GEOMETRY = oblique_geometry((12, 14, 9))
LABELS = LabelTable.from_names("cyst")


@dataclass(frozen=True)
class Study:
    """A workspace with the annotated case `one` and the case `two`, and a folder beside it.

    Attributes:
        workspace: its folder.
        delivery: an empty folder for what is to be added or collected.
    """

    workspace: Path
    delivery: Path

    def scan(self, name: str) -> Path:
        """Write a sound scan to be added."""
        noise = np.random.default_rng(len(name)).normal(size=GEOMETRY.shape).astype(np.float32)
        path = self.delivery / f"{name}.nii.gz"
        write_volume(path, Volume(noise, GEOMETRY))
        return path

    def label_map(self, name: str) -> Path:
        """Write a sound label map to be collected."""
        mask = ellipsoid_mask(GEOMETRY, offset_mm=(1.0, 0.0, 0.0)).astype(np.uint8)
        path = self.delivery / f"{name}.nii.gz"
        write_label_map(path, LabelMap(mask, GEOMETRY, LABELS))
        return path


def make_study(folder: Path) -> Study:
    """Make the workspace, as a user would."""
    study = Study(folder / "study", folder / "delivery")
    here = ("-w", study.workspace)
    assert voxloop("init", study.workspace, "--label", "cyst") == 0
    scans = [study.scan(name) for name in ("one", "two")]
    assert voxloop("add", *scans, "--copy", *here) == 0
    assert voxloop("collect", study.label_map("one"), "--looked-at", "all", *here) == 0
    for path in study.delivery.iterdir():
        path.unlink()
    return study


def voxloop(*words: str | Path) -> int:
    """Carry out one command line and give its exit code."""
    return main.execute([str(word) for word in words])


def everything_in(workspace: Path) -> dict[str, str]:
    """Every file with its hash and every folder; of the catalogue what it says.

    The bytes of the catalogue and of lock files are left out: they may change without anything
    being changed.
    """
    store = Store(Layout(workspace))
    found = {table: repr(store.documents(table)) for table in TABLES}
    for path in workspace.rglob("*"):
        name = path.relative_to(workspace).as_posix()
        if path.is_dir():
            found[name] = "folder"
        elif path.suffix != ".lock" and not name.startswith("catalogue.sqlite"):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found
