from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from phantoms import oblique_geometry
from voxloop.dataset.annotation import Annotation
from voxloop.errors import DataError
from voxloop.io.formats import write_label_map, write_volume
from voxloop.volume.labels import IGNORE
from voxloop.volume.volume import LabelMap, Volume
from voxloop.workspace.actions.add import add
from voxloop.workspace.actions.checked_delivery import CollectOptions
from voxloop.workspace.actions.collect import collect
from voxloop.workspace.annotations import (
    Origin,
    OvertakenError,
    append_revision,
    draft_revision,
    stage_map,
)
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.staging import open_staging
from voxloop.workspace.workspace import Workspace
from workspace_samples import GEOMETRY, LABELS, deliver, make_workspace, organ

COLLECT_MANY = """
import sys
from pathlib import Path
from voxloop.workspace.actions.checked_delivery import CollectOptions
from voxloop.workspace.actions.collect import collect
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.workspace import Workspace
workspace = Workspace.open(Path(sys.argv[1]))
for folder in sorted(Path(sys.argv[2]).iterdir()):
    collect(workspace, folder, CollectOptions(looked_at=LookedAt.MARKED, author=sys.argv[3]))
"""


def store(workspace: Workspace, folder: Path, array: np.ndarray, **options: object) -> None:
    chosen = CollectOptions(looked_at=LookedAt.ALL, **options)  # type: ignore[arg-type]
    collect(workspace, deliver(folder, "a", array.astype(np.uint8)), chosen)


def test_two_processes_that_collect_at_once_never_clobber_each_other(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    # Each delivery looks at one voxel of its own, so that the sum shows whether one was lost.
    for author, first in (("eva", 0), ("uli", 20)):
        for index in range(6):
            array = np.full(GEOMETRY.shape, IGNORE, dtype=np.uint8)
            array.flat[first + index] = 1
            deliver(tmp_path / author / str(index), "a", array)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", COLLECT_MANY, workspace.root, tmp_path / author, author],
            env=environment,
        )
        for author in ("eva", "uli")
    ]
    assert [process.wait() for process in running] == [0, 0]
    revisions = workspace.annotations_of("a")
    assert [revision.number for revision in revisions] == list(range(1, 13))
    assert workspace.verify() == 12
    expected = [*range(6), *range(20, 26)]
    assert np.flatnonzero(workspace.target_of("a").values == 1).tolist() == expected
    assert revisions[-1].coverage.voxels == 12


def test_a_draft_that_was_overtaken_is_refused(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    annotation = Annotation.of_whole(LabelMap(organ(), GEOMETRY, LABELS))
    origin = Origin("eva", "test")
    with open_staging(workspace.layout) as staging:
        draft = draft_revision(workspace.layout, workspace.case("a"), annotation, origin)
        staged = stage_map(staging, annotation)
        store(workspace, tmp_path / "other", organ() * 0)
        with (
            pytest.raises(OvertakenError, match='case "a" was annotated by another process'),
            staging.commit("test", "") as commit,
        ):
            append_revision(commit, workspace.layout, draft, staged)
    assert len(workspace.annotations_of("a")) == 1


def test_revisions_remember_who_when_and_what_and_add_up(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    array = organ()
    store(workspace, tmp_path / "one", np.where(array == 1, 1, 0), asked=("liver",), author="eva")
    store(workspace, tmp_path / "two", array, seconds=90.0, author="uli")
    first, second = workspace.annotations_of("a")
    assert (first.origin, first.asked, first.parent) == (
        Origin("eva", "collect"),
        {"liver": 1},
        None,
    )
    assert (second.origin, second.parent) == (Origin("uli", "collect", None, 90.0), first.sha256)
    target = workspace.target_of("a")
    assert np.array_equal(target.values, array)
    assert all(target.asked_sets[i] == {1, 2} for i in np.unique(target.asked))
    assert second.coverage.labels == {"liver": int((array == 1).sum()), "spleen": 1}
    assert np.array_equal(workspace.load(first).label_map.array, np.where(array == 1, 1, 0))


def test_slices_along_any_axis_are_counted(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    array = np.full(GEOMETRY.shape, IGNORE, dtype=np.uint8)
    for place in (np.s_[4], np.s_[:, 3], np.s_[:, 9], np.s_[:, :, 2]):
        array[place] = organ()[place]
        deliver(tmp_path / "drawn", "a", array)
        collect(workspace, tmp_path / "drawn", CollectOptions(looked_at=LookedAt.MARKED))
    assert [r.coverage.slices for r in workspace.annotations_of("a")] == [1, 2, 3, 4]
    store(workspace, tmp_path / "whole", organ())
    assert workspace.annotations_of("a")[-1].coverage.slices == GEOMETRY.shape[2]


@pytest.mark.parametrize("drawn", ["slice 0", "slice 1", "slice 2", "everything"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_seal_is_of_the_voxels_however_they_lie_in_memory(
    tmp_path: Path, drawn: str, order: Literal["C", "F"]
) -> None:
    grid = oblique_geometry((66, 20, 24))  # more than is turned at once, and an uneven rest
    write_volume(tmp_path / "scans" / "a.nii.gz", Volume(np.ones(grid.shape, np.float32), grid))
    workspace = make_workspace(tmp_path)
    add(workspace, tmp_path / "scans")
    place = [slice(None)] * 3
    if drawn.startswith("slice"):
        place[int(drawn[-1])] = slice(3, 4)
    array = np.full(grid.shape, IGNORE, dtype=np.uint8, order=order)
    values = np.random.default_rng(0).integers(0, 3, grid.shape, dtype=np.uint8)
    array[tuple(place)] = values[tuple(place)]
    annotation = Annotation.of_whole(LabelMap(array, grid, LABELS))
    draft = draft_revision(workspace.layout, workspace.case("a"), annotation, Origin("eva", "test"))
    header = ["a", list(grid.shape), sorted(LABELS.by_name.items()), None]
    assert draft.sha256 == hashlib.sha256(json.dumps(header).encode() + array.tobytes()).hexdigest()


@pytest.mark.parametrize("change", ["voxel", "asked", "parent", "removed", "label value"])
def test_tampering_is_found_out_and_named(tmp_path: Path, change: str) -> None:
    workspace = make_workspace(tmp_path, "a")
    array = organ()
    store(workspace, tmp_path / "one", array)
    array[5, 5, 5] = 2
    store(workspace, tmp_path / "two", array)
    layout = workspace.layout
    record = layout.revision_file("a", 2)
    if change == "voxel":
        array[0, 0, 0] = 1
        write_label_map(layout.revision_map("a", 2), LabelMap(array, GEOMETRY, LABELS))
    elif change == "asked":
        document = json.loads(record.read_text())
        record.write_text(json.dumps({**document, "asked": {"liver": 1}}))
    elif change == "parent":
        first = workspace.annotations_of("a")[0].sha256
        record.write_text(record.read_text().replace(first, first[::-1]))
    elif change == "removed":
        layout.revision_file("a", 1).unlink()
    else:
        settings = layout.settings_file
        settings.write_text(
            settings.read_text().replace('"spleen" = 2', '"spleen" = 7\n"other" = 2')
        )
        workspace = Workspace.open(workspace.root)
    number, pattern = (1, "voxloop.toml") if change == "label value" else (2, "backup")
    with pytest.raises(DataError, match=rf'case "a", .*annotations/a/000{number}.*{pattern}'):
        workspace.verify()
