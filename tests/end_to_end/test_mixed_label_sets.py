"""Cases labelled for different structures, in one workspace, through real files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from bodies import LABELS, small_network, write_bodies

from study import voxloop
from voxloop.io.formats import read_label_map, write_label_map
from voxloop.metrics.overlap import dice, measure_overlap
from voxloop.model.checkpoint import load_checkpoint
from voxloop.volume.labels import IGNORE, LabelTable
from voxloop.volume.volume import LabelArray, LabelMap
from voxloop.workspace.learning import newest_model
from voxloop.workspace.workspace import Workspace

LEFT, RIGHT = LABELS.names.values()

Capture = pytest.CaptureFixture[str]


@dataclass(frozen=True)
class Bodies:
    """Scans and references of bodies with two lobes, and workspaces of them.

    Attributes:
        folder: where everything lies.
        references: by case.
    """

    folder: Path
    references: dict[str, LabelMap]

    def workspace(self, name: str) -> Path:
        """A new workspace with all the scans."""
        path = self.folder / name
        assert voxloop("init", path, "--label", LEFT, "--label", RIGHT) == 0
        assert voxloop("add", self.folder / "scans", "-w", path) == 0
        return path

    def maps(
        self, name: str, cases: Iterable[int], drawn: Callable[[LabelArray], LabelArray]
    ) -> Path:
        """A folder of label maps, made of the references."""
        for number in cases:
            case_id = f"body{number}"
            reference = self.references[case_id]
            label_map = LabelMap(drawn(reference.array), reference.geometry, LABELS)
            write_label_map(self.folder / name / f"{case_id}.nii.gz", label_map)
        return self.folder / name


@pytest.fixture
def bodies(tmp_path: Path) -> Bodies:
    return Bodies(tmp_path, write_bodies(tmp_path, range(5)))


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    with small_network():
        yield


def alone(value: int) -> Callable[[LabelArray], LabelArray]:
    """What somebody draws who looks for one label only."""
    return lambda array: np.where(array == value, value, 0).astype(np.uint8)


def only_above(array: LabelArray) -> LabelArray:
    """Both labels, but half of the scan was not looked at."""
    array = array.copy()
    array[..., : array.shape[2] // 2] = IGNORE
    return array


def whole(array: LabelArray) -> LabelArray:
    return array


def collect(workspace: Path, maps: Path, *words: str) -> None:
    assert voxloop("collect", maps, *words, "-w", workspace) == 0


def collect_mixed(bodies: Bodies, workspace: Path) -> None:
    """One label in two cases, the other in one, both in one, both in half of the last."""
    collect(workspace, bodies.maps("left", (0, 1), alone(1)), "--looked-at", "all", "--asked", LEFT)
    right = bodies.maps("right", (2,), alone(2))
    collect(workspace, right, "--looked-at", "all", "--asked", RIGHT)
    collect(workspace, bodies.maps("both", (3,), whole), "--looked-at", "all")
    collect(workspace, bodies.maps("half", (4,), only_above))


def test_what_each_file_covers_is_stored_shown_and_kept_apart(
    bodies: Bodies, capfd: Capture
) -> None:
    folder = bodies.workspace("study")
    collect_mixed(bodies, folder)
    capfd.readouterr()
    assert voxloop("info", "--json", "-w", folder) == 0
    shown = json.loads(capfd.readouterr().out)["cases"]
    assert [case["asked"] for case in shown] == [
        [LEFT], [LEFT], [RIGHT], [LEFT, RIGHT], [LEFT, RIGHT]
    ]  # fmt: skip
    assert voxloop("info", "-w", folder) == 0
    assert "labels looked for" in capfd.readouterr().out
    workspace = Workspace.open(folder)
    for number, asked in enumerate(({1}, {1}, {2}, {1, 2}, {1, 2})):
        target = workspace.target_of(f"body{number}")
        where = target.looked_at
        assert {target.asked_sets[row] for row in target.asked[where]} == {frozenset(asked)}
        reference = bodies.references[f"body{number}"].array
        expected = np.where(np.isin(reference, list(asked)), reference, 0)
        assert np.array_equal(target.values[where], expected[where])


def test_both_labels_are_learned_though_hardly_a_case_has_both(
    bodies: Bodies, capfd: Capture
) -> None:
    folder = bodies.workspace("study")
    collect(folder, bodies.maps("left", (0, 1), alone(1)), "--looked-at", "all", "--asked", LEFT)
    collect(folder, bodies.maps("right", (2, 3), alone(2)), "--looked-at", "all", "--asked", RIGHT)
    assert voxloop("train", "--steps", "250", "-w", folder) == 0
    assert "cannot be learned" not in capfd.readouterr().err
    out = bodies.folder / "out"
    assert voxloop("segment", bodies.folder / "scans", "-o", out, "-w", folder) == 0
    for case_id, reference in bodies.references.items():
        found = read_label_map(out / f"{case_id}.nii.gz", LABELS)
        for value in LABELS:
            overlap = measure_overlap(reference.mask(value), found.mask(value))
            # taken for background wherever it was not asked for, a label is lost
            assert dice(overlap) > 0.5, (case_id, value)


def test_labels_delivered_one_by_one_make_the_model_of_both_at_once(bodies: Bodies) -> None:
    together, apart = bodies.workspace("together"), bodies.workspace("apart")
    everywhere = ("--looked-at", "all")
    collect(together, bodies.maps("both", (0, 1), whole), *everywhere)
    collect(apart, bodies.maps("left", (0, 1), alone(1)), *everywhere, "--asked", LEFT)
    collect(apart, bodies.maps("right", (0, 1), alone(2)), *everywhere, "--asked", RIGHT)
    weights = []
    for folder in (together, apart):
        assert voxloop("train", "--steps", "3", "-w", folder) == 0
        weights.append(load_checkpoint(newest_model(Workspace.open(folder))).sha256)
    assert weights[0] == weights[1]


def test_a_label_that_a_file_is_said_not_to_cover_is_not_lost_in_silence(
    bodies: Bodies, capfd: Capture
) -> None:
    folder = bodies.workspace("study")
    maps = bodies.maps("both", (0, 1), whole)
    capfd.readouterr()
    assert voxloop("collect", maps, "--looked-at", "all", "--asked", LEFT, "-w", folder) == 3
    said = capfd.readouterr().err
    assert "2 problems found, nothing was changed" in said
    count = int((bodies.references["body1"].array == 2).sum())
    assert (
        f'case "body1", {maps / "body1.nii.gz"}: expected only the labels asked for, {LEFT}, '
        f"found {count} voxels of {RIGHT!r} (value 2); ask for it as well (--asked {RIGHT!r}), "
        "or erase it from the label map"
    ) in said
    assert Workspace.open(folder).annotations_of("body0") == ()


def test_a_label_that_is_misspelt_is_answered_with_the_nearest(
    bodies: Bodies, capfd: Capture
) -> None:
    folder = bodies.workspace("study")
    maps = bodies.maps("left", (0,), alone(1))
    capfd.readouterr()
    words = (maps, "--looked-at", "all", "--asked", "left lob", "-w", folder)
    assert voxloop("collect", *words) == 2
    assert "no label 'left lob' to have been asked for, did you mean" in capfd.readouterr().err


def test_data_sets_with_tables_of_their_own_are_joined_by_the_labels_names(
    bodies: Bodies, capfd: Capture
) -> None:
    folder = bodies.folder / "study"
    voxloop("init", folder, "--label", LEFT, "--label", RIGHT)
    for name, value, cases in ((LEFT, 1, (0, 1)), (RIGHT, 2, (2, 3))):
        data_set = bodies.folder / name.replace(" ", "_")
        for number in cases:
            case_id = f"body{number}"
            reference = bodies.references[case_id]
            mask = (reference.array == value).astype(np.uint8)  # each calls its own label 1
            label_map = LabelMap(mask, reference.geometry, LabelTable.from_names(name))
            write_label_map(data_set / "labelsTr" / f"{case_id}.nii.gz", label_map)
            scan = data_set / "imagesTr" / f"{case_id}_0000.nii.gz"
            scan.parent.mkdir(exist_ok=True)
            (bodies.folder / "scans" / f"{case_id}.nii.gz").rename(scan)
        index = {
            "channel_names": {"0": "MR"},
            "labels": {"background": 0, name: 1},
            "numTraining": len(cases),
            "file_ending": ".nii.gz",
        }
        (data_set / "dataset.json").write_text(json.dumps(index))
        assert voxloop("add", data_set, "--with-labels", "-w", folder) == 0
    workspace = Workspace.open(folder)
    for number, value in ((0, 1), (3, 2)):
        target = workspace.target_of(f"body{number}")
        assert set(target.asked_sets) == {frozenset(), frozenset({value})}
        assert np.array_equal(target.values, alone(value)(bodies.references[f"body{number}"].array))
    capfd.readouterr()
    assert voxloop("train", "--steps", "2", "-w", folder) == 0
    assert "learned from 4 cases" in capfd.readouterr().out


def test_a_label_that_nobody_looks_for_is_not_predicted(bodies: Bodies, capfd: Capture) -> None:
    folder = bodies.workspace("study")
    collect(folder, bodies.maps("left", (0, 1), alone(1)), "--looked-at", "all", "--asked", LEFT)
    assert voxloop("train", "--steps", "10", "-w", folder) == 0
    assert f"warning: label {RIGHT!r} has no annotated voxel" in capfd.readouterr().err
    out = bodies.folder / "out"
    assert voxloop("segment", bodies.folder / "scans", "-o", out, "-w", folder) == 0
    for case_id in bodies.references:
        assert not read_label_map(out / f"{case_id}.nii.gz", LABELS).mask(2).any()
