from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from disks import largest_file
from phantoms import oblique_geometry
from voxloop.errors import DataError, StorageError, UsageError
from voxloop.io.formats import write_label_map, write_volume
from voxloop.volume.boxes import Box
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import IGNORE, LabelTable
from voxloop.volume.volume import LabelMap, Volume
from voxloop.workspace.actions.checked_delivery import CollectOptions
from voxloop.workspace.actions.collect import collect
from voxloop.workspace.actions.info import info
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.queries import QueryStatus, queries_of
from voxloop.workspace.rounds import RoundStage
from workspace_samples import (
    GEOMETRY,
    LABELS,
    SLICE_AXIS,
    ask,
    content,
    deliver,
    make_workspace,
    organ,
)

ALL = CollectOptions(looked_at=LookedAt.ALL)


def slice_box(index: int) -> Box:
    return Box.slice_at(GEOMETRY.shape, SLICE_AXIS, index)


def test_labelled_slices_are_stored_along_the_scanners_slices(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    drawn = deliver(tmp_path / "drawn", "a", organ())
    result = collect(workspace, drawn, CollectOptions(looked_at=LookedAt.LABELLED_SLICES))
    assert result.stored[0].coverage.slices == 3
    target = workspace.target_of("a")
    labelled = np.isin(np.arange(7), [2, 3, 4])
    assert np.array_equal(target.looked_at, np.broadcast_to(labelled, GEOMETRY.shape))
    assert np.array_equal(target.values[..., labelled], organ()[..., labelled])


def test_answers_are_taken_from_the_queries_and_edits_elsewhere_are_reported(
    tmp_path: Path,
) -> None:
    workspace = make_workspace(tmp_path, "a", "b")
    ask(workspace, ("a", slice_box(3)), ("a", slice_box(4)), ("b", slice_box(0)))
    first = collect(workspace, deliver(tmp_path / "drawn", "a", organ()))
    assert first.answered == (1, 2)
    assert not first.round_complete
    (revision,) = workspace.annotations_of("a")
    assert (revision.origin.round, revision.coverage.slices) == (0, 2)
    elsewhere = int((organ()[..., 2] > 0).sum())
    assert f"{elsewhere} voxels in 1 slices (2 to 2) were changed outside" in first.warnings[0]
    second = collect(workspace, deliver(tmp_path / "rest", "b", organ()))
    assert second.answered == (3,)
    assert second.round_complete
    latest = workspace.current_round()
    assert latest is not None
    assert latest.stage is RoundStage.COMPLETE
    assert {q.status for q in queries_of(workspace.layout, 0)} == {QueryStatus.ANSWERED}


def test_what_was_prefilled_does_not_count_as_an_edit(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    ask(workspace, ("a", slice_box(3)))
    packed = LabelMap(organ(), GEOMETRY, LABELS)
    write_label_map(workspace.layout.packed_map(0, "a"), packed)
    edited = organ()
    edited[1, 1, 3] = 2
    assert collect(workspace, deliver(tmp_path / "drawn", "a", edited)).warnings == ()


def test_a_marked_file_answers_the_queries_that_it_covers_wholly(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    ask(workspace, ("a", slice_box(3)), ("a", slice_box(4)))
    array = np.full(GEOMETRY.shape, IGNORE, dtype=np.uint8)
    array[..., 3] = organ()[..., 3]
    array[:5, :, 4] = organ()[:5, :, 4]
    result = collect(workspace, deliver(tmp_path / "drawn", "a", array))
    assert result.answered == (1,)
    assert result.warnings == ('case "a": query 2 is answered in part (50%) and stays open',)
    assert np.array_equal(workspace.target_of("a").values, array)


LIVER = CollectOptions(looked_at=LookedAt.ALL, asked=("liver",))


def test_what_a_delivery_covers_is_stored_with_it(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    liver = np.where(organ() == 1, 1, 0).astype(np.uint8)
    (stored,) = collect(workspace, deliver(tmp_path / "drawn", "a", liver), LIVER).stored
    assert stored.asked == {"liver": 1}
    target = workspace.target_of("a")
    assert set(target.asked_sets) == {frozenset(), frozenset({1})}
    assert info(workspace).cases[0].asked == ("liver",)


def test_a_label_beyond_those_a_delivery_covers_is_refused(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    before = content(workspace)
    drawn = deliver(tmp_path / "drawn", "a", organ())
    expected = (
        r'case "a", .*a.nii.gz: expected only the labels asked for, liver, found 1 voxels of '
        r"'spleen' \(value 2\); ask for it as well \(--asked 'spleen'\), or erase it"
    )
    with pytest.raises(DataError, match=expected):
        collect(workspace, drawn, LIVER)
    assert content(workspace) == before


def test_labels_that_the_annotator_was_given_may_stay_in_the_file(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    collect(workspace, deliver(tmp_path / "first", "a", organ()), ALL)
    liver_moved = np.where(np.roll(organ(), 1, axis=0) == 1, 1, 0).astype(np.uint8)
    liver_moved[organ() == 2] = 2
    result = collect(workspace, deliver(tmp_path / "second", "a", liver_moved), LIVER)
    assert result.warnings == ()
    assert np.array_equal(workspace.target_of("a").values, liver_moved)


def test_a_slice_is_labelled_only_by_a_label_that_was_looked_for(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    spleen_alone = np.zeros(GEOMETRY.shape, dtype=np.uint8)
    spleen_alone[0, 0, 6] = 2
    collect(workspace, deliver(tmp_path / "first", "a", spleen_alone), ALL)
    both = np.where(organ() == 1, 1, 0).astype(np.uint8) + spleen_alone
    options = CollectOptions(looked_at=LookedAt.LABELLED_SLICES, asked=("liver",))
    (stored,) = collect(workspace, deliver(tmp_path / "second", "a", both), options).stored
    looked = workspace.load(stored).looked_at
    assert np.flatnonzero(looked.all(axis=(0, 1))).tolist() == [2, 3, 4]


def test_the_same_delivery_is_stored_once_but_still_answers(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    drawn = deliver(tmp_path / "drawn", "a", organ())
    assert len(collect(workspace, drawn, ALL).stored) == 1
    before = content(workspace)
    again = collect(workspace, drawn, ALL)
    assert (again.stored, again.unchanged) == ((), ("a",))
    assert content(workspace) == before
    ask(workspace, ("a", slice_box(3)))
    confirmed = collect(workspace, drawn)
    assert (confirmed.unchanged, confirmed.answered) == (("a",), (1,))
    assert confirmed.round_complete


def test_time_is_shared_out_by_voxels_looked_at(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a", "b")
    half = organ()
    half[:5] = IGNORE
    deliver(tmp_path / "drawn", "a", half)
    deliver(tmp_path / "drawn", "b", organ())
    options = CollectOptions(looked_at=LookedAt.ALL, seconds=30.0)
    stored = collect(workspace, tmp_path / "drawn", options).stored
    assert [revision.origin.seconds for revision in stored] == pytest.approx([10.0, 20.0])


def moved(mm: float) -> Geometry:
    matrix = GEOMETRY.matrix.copy()
    matrix[0, 3] += mm
    return Geometry.from_affine(GEOMETRY.shape, matrix)


def _another_shape(folder: Path) -> None:
    grid = oblique_geometry(shape=(10, 12, 8))
    write_label_map(folder / "a.nii.gz", LabelMap(np.ones(grid.shape, np.uint8), grid, LABELS))


def _another_affine(folder: Path) -> None:
    write_label_map(folder / "a.nii.gz", LabelMap(organ(), moved(0.3), LABELS))


def _unknown_value(folder: Path) -> None:
    table = LabelTable.from_names("liver", "spleen", "pancreas")
    array = organ()
    array[1, 1, 1] = 3
    write_label_map(folder / "a.nii.gz", LabelMap(array, GEOMETRY, table))


def _fraction(folder: Path) -> None:
    write_volume(folder / "a.nii.gz", Volume(organ() * np.float32(0.5), GEOMETRY))


def _two_of_one_name(folder: Path) -> None:
    deliver(folder, "a", organ())
    write_label_map(folder / "a.nrrd", LabelMap(organ(), GEOMETRY, LABELS))


def _unknown_name(folder: Path) -> None:
    deliver(folder, "aa", organ())


def _unreadable(folder: Path) -> None:
    deliver(folder, "a", organ())
    path = folder / "a.nii.gz"
    path.write_bytes(path.read_bytes()[:-40])


def _empty(folder: Path) -> None:
    folder.mkdir()
    (folder / "notes.txt").write_text("nothing yet")


@pytest.mark.parametrize(
    ("spoil", "where", "found"),
    [
        (_another_shape, 'case "a".*a.nii.gz', r"shape \(10, 12, 8\) instead of \(10, 12, 7\)"),
        (_another_affine, 'case "a".*a.nii.gz', r"a corner displaced by 0\.3 mm"),
        (_unknown_value, 'case "a".*a.nii.gz', r"3"),
        (_fraction, 'case "a".*a.nii.gz', "fractions"),
        (_two_of_one_name, 'case "a".*a.nrrd', r"also .*a.nii.gz"),
        (_unknown_name, 'case "aa".*aa.nii.gz', "no case of this name"),
        (_unreadable, 'case "a".*a.nii.gz', "."),
        (_empty, "drawn", "none"),
    ],
)
def test_a_delivery_that_cannot_be_taken_is_explained_and_changes_nothing(
    tmp_path: Path, spoil: Callable[[Path], None], where: str, found: str
) -> None:
    workspace = make_workspace(tmp_path, "a", "b", "c")
    before = content(workspace)
    spoil(tmp_path / "drawn")
    good = deliver(tmp_path / "good", "b", organ())
    with pytest.raises(DataError, match=rf"{where}: expected .*, found .*{found}.*; \w+") as caught:
        collect(workspace, [tmp_path / "drawn", good / "b.nii.gz"], ALL)
    assert len(caught.value.problems) == 1
    assert content(workspace) == before


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a", "b")
    folder = tmp_path / "drawn"
    _another_affine(folder)
    deliver(folder, "x", organ())
    deliver(folder, "b", organ())
    with pytest.raises(DataError, match="3 problems found, nothing was changed") as caught:
        collect(workspace, folder)
    text = str(caught.value)
    assert all(word in text for word in ('case "x"', "displaced", "'labelled-slices'"))


def test_options_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    with pytest.raises(UsageError, match=r"'livre'.*did you mean 'liver'\? .*liver, spleen"):
        collect(workspace, tmp_path, CollectOptions(asked=("livre",)))
    with pytest.raises(UsageError, match="slice axis is 0, 1 or 2, not 3"):
        CollectOptions(axis=3)
    with pytest.raises(UsageError, match="above 0 seconds, not -1"):
        CollectOptions(seconds=-1)


@pytest.mark.parametrize("size", [0, 60, 300])
def test_a_full_disk_leaves_the_workspace_as_it_was(tmp_path: Path, size: int) -> None:
    workspace = make_workspace(tmp_path, "a", "b")
    noise = np.random.default_rng(1).integers(0, 3, GEOMETRY.shape).astype(np.uint8)
    for case_id in ("a", "b"):
        deliver(tmp_path / "drawn", case_id, noise)
    before = content(workspace)
    with largest_file(size), pytest.raises(StorageError, match="cannot write") as caught:
        collect(workspace, tmp_path / "drawn", ALL)
    assert caught.value.exit_code == 4
    assert content(workspace) == before
    assert len(collect(workspace, tmp_path / "drawn", ALL).stored) == 2
