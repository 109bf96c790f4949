"""Query packs: out as files, back as other programs write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from voxloop.errors import DataError, UsageError
from voxloop.io.formats import read_geometry, read_label_map, read_volume
from voxloop.io.segments import read_segment_names
from voxloop.volume.boxes import Box
from voxloop.volume.labels import IGNORE
from voxloop.volume.volume import LabelArray, LabelMap
from voxloop.workspace import proposals
from voxloop.workspace.actions.checked_delivery import CollectOptions
from voxloop.workspace.actions.collect import collect
from voxloop.workspace.actions.pack import pack
from voxloop.workspace.annotations import Origin
from voxloop.workspace.workspace import Workspace
from workspace_samples import GEOMETRY, LABELS, SLICE_AXIS, ask, content, make_workspace, organ

SLICES = (2, 4)
"""Asked of case a, beside a sagittal one of b."""

Save = Callable[[Path, LabelArray], Path]


def slice_box(index: int, axis: int = SLICE_AXIS) -> Box:
    return Box.slice_at(GEOMETRY.shape, axis, index)


@pytest.fixture
def asked(tmp_path: Path) -> Workspace:
    workspace = make_workspace(tmp_path, "a", "b")
    ask(workspace, *(("a", slice_box(n)) for n in SLICES), ("b", slice_box(5, axis=0)))
    return workspace


@pytest.fixture
def foreseen(asked: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """As `asked`, with a model that proposes a liver a voxel away from where it is."""
    label_map = LabelMap(np.roll(organ(), 1, axis=1), GEOMETRY, LABELS)
    monkeypatch.setattr(proposals, "predicted", lambda *_: label_map)
    monkeypatch.setattr(proposals, "_model_words", lambda _: "of round 0")
    return asked


def drawn(place: Path, name: str = "labels.nii.gz") -> LabelArray:
    """What a person makes of a proposal: right where asked, and as it was elsewhere."""
    array = read_label_map(place / name, LABELS).array.copy()
    mask = next(place.glob("label_here.*"))
    asked = read_volume(mask).array == 1
    array[asked] = organ()[asked]
    return array


def itk_image(array: LabelArray) -> Any:
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    to_lps = np.diag([-1.0, -1.0, 1.0])
    image.SetSpacing(GEOMETRY.spacing_mm)
    directions = to_lps @ GEOMETRY.matrix[:3, :3] / GEOMETRY.spacing_mm
    image.SetDirection(directions.ravel().tolist())
    image.SetOrigin((to_lps @ GEOMETRY.matrix[:3, 3]).tolist())
    return image


def by_itk(suffix: str, kind: int, turn: str = "", *, compressed: bool = False) -> Save:
    """Save as a program on ITK does, perhaps as another type or in another order of axes."""

    def save(place: Path, array: LabelArray) -> Path:
        image = sitk.Cast(itk_image(array), kind)
        if turn:
            image = sitk.DICOMOrient(image, turn)
        path = place / f"labels{suffix}"
        sitk.WriteImage(image, str(path), useCompression=compressed)
        return path

    return save


def by_nibabel(place: Path, array: LabelArray) -> Path:
    """Closest to RAS, as floats with a scaling, not compressed."""
    image = nib.as_closest_canonical(nib.Nifti1Image(array.astype(np.float64), GEOMETRY.matrix))
    path = place / "labels.nii"
    nib.save(image, path)
    return path


@pytest.mark.parametrize(
    "save",
    [
        by_itk(".nii.gz", sitk.sitkInt16),
        by_itk(".nii.gz", sitk.sitkUInt8, "RPI", compressed=True),
        by_itk(".nii", sitk.sitkFloat32, "ASL"),
        by_itk(".nrrd", sitk.sitkUInt16, "PIR", compressed=True),
        by_itk(".mha", sitk.sitkInt32, "LPS"),
        by_nibabel,
    ],
    ids=["int16", "rpi gzip", "asl float", "pir nrrd", "lps mha", "nibabel"],
)
def test_what_another_program_saves_comes_back_voxel_by_voxel(
    foreseen: Workspace, tmp_path: Path, save: Save
) -> None:
    done = pack(foreseen, tmp_path / "packs")
    for query in done.pack.queries:
        place = done.folder / query.folder
        array = drawn(place)
        saved = save(place, array)
        if saved.name != "labels.nii.gz":
            (place / "labels.nii.gz").unlink()
    result = collect(foreseen, done.folder)
    assert (result.answered, result.untouched, result.round_complete) == ((1, 2, 3), (), True)
    assert result.warnings == ()
    for case_id, boxes in (("a", [slice_box(n) for n in SLICES]), ("b", [slice_box(5, axis=0)])):
        expected = np.full(GEOMETRY.shape, IGNORE, dtype=np.uint8)
        for box in boxes:
            expected[box.slices] = organ()[box.slices]
        assert np.array_equal(foreseen.target_of(case_id).values, expected)
    (revision,) = foreseen.annotations_of("b")
    first = done.pack.queries[2]
    expected_origin = Origin(revision.origin.author, "pack", 0, None, 3, first.started)
    assert revision.origin == expected_origin


def test_a_pack_holds_the_scan_the_place_and_words(foreseen: Workspace, tmp_path: Path) -> None:
    done = pack(foreseen, tmp_path / "packs", form="nrrd")
    query = done.pack.queries[0]
    place = done.folder / query.folder
    scan = foreseen.layout.root / foreseen.case("a").channels[0][1].path
    assert np.array_equal(read_volume(place / "image.nrrd").array, read_volume(scan).array)
    assert read_geometry(place / "labels.seg.nrrd").difference(GEOMETRY) is None
    assert read_segment_names(place / "labels.seg.nrrd") == {1: "liver", 2: "spleen"}
    inside = read_volume(place / "label_here.nrrd").array == 1
    assert np.array_equal(np.flatnonzero(inside.all(axis=(0, 1))), [SLICES[0]])
    assert inside.sum() == slice_box(0).voxel_count
    text = (place / "readme.txt").read_text()
    for words in (
        "slice 3 of 7", "from 0 it is 2", "1  liver", "2  spleen", "labels.seg.nrrd",
        "a proposal from the model of round 0", "confirmed.txt", "ITK-SNAP", "MITK", "3D Slicer",
    ):  # fmt: skip
        assert words in text
    assert (
        '2   230  159    0        1  1  1    "spleen"' in (place / "labels_itksnap.txt").read_text()
    )
    assert (place / "image.nrrd").samefile(done.folder / done.pack.queries[1].folder / "image.nrrd")
    machine = json.loads((done.folder / "pack.json").read_text())
    assert machine["labels"] == {"liver": 1, "spleen": 2}
    assert machine["queries"][0]["region"] == slice_box(2).to_json()
    assert str(tmp_path) not in json.dumps(machine)


def test_a_segmentation_is_read_by_the_names_of_its_segments(
    asked: Workspace, tmp_path: Path
) -> None:
    done = pack(asked, tmp_path / "packs", form="nrrd")
    place = done.folder / done.pack.queries[0].folder
    array = organ()
    array[0, 0, 2] = 2
    swapped = np.array([0, 7, 1], dtype=np.uint8)[np.where(slices_only(2), array, 0)]
    image = itk_image(swapped.astype(np.uint8))
    for number, (name, value) in enumerate((("spleen", 1), ("liver", 7))):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_LabelValue", str(value))
    sitk.WriteImage(image, str(place / "labels.seg.nrrd"), useCompression=True)
    assert collect(asked, done.folder).answered == (1,)
    assert np.array_equal(asked.target_of("a").values[..., 2], array[..., 2])


def slices_only(*indices: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    kept = np.zeros(GEOMETRY.shape, dtype=bool)
    kept[..., list(indices)] = True
    return kept


def test_what_nobody_touched_stays_open_until_it_is_confirmed(
    foreseen: Workspace, tmp_path: Path
) -> None:
    done = pack(foreseen, tmp_path / "packs")
    before = content(foreseen)
    untouched = collect(foreseen, done.folder)
    assert (untouched.stored, untouched.answered, untouched.untouched) == ((), (), (1, 2, 3))
    assert content(foreseen) == before
    places = [done.folder / query.folder for query in done.pack.queries]
    by_itk(".nii.gz", sitk.sitkInt16)(places[0], drawn(places[0]))
    resaved = read_label_map(places[1] / "labels.nii.gz", LABELS).array
    by_itk(".nii.gz", sitk.sitkInt32, "RPI")(places[1], resaved)
    (places[2] / "labels.nii.gz").unlink()
    first = collect(foreseen, done.folder)
    assert (first.answered, first.untouched) == ((1,), (2, 3))
    confirmed = collect(foreseen, done.folder, CollectOptions(confirm=frozenset({2})))
    assert (confirmed.answered, confirmed.untouched) == ((2,), (3,))
    proposed = np.roll(organ(), 1, axis=1)
    assert np.array_equal(foreseen.target_of("a").values[..., 4], proposed[..., 4])
    assert len(collect(foreseen, done.folder).stored) == 0


def test_nothing_to_label_is_said_by_a_file(asked: Workspace, tmp_path: Path) -> None:
    done = pack(asked, tmp_path / "packs")
    (done.folder / done.pack.queries[1].folder / "confirmed.txt").touch()
    result = collect(asked, done.folder)
    assert (result.answered, result.untouched) == ((2,), (1, 3))
    expected = np.where(slices_only(4), 0, IGNORE)
    assert np.array_equal(asked.target_of("a").values, expected)


def test_edits_elsewhere_are_reported_and_parts_stay_open(
    foreseen: Workspace, tmp_path: Path
) -> None:
    done = pack(foreseen, tmp_path / "packs")
    places = [done.folder / query.folder for query in done.pack.queries]
    more, part = drawn(places[0]), drawn(places[1])
    more[2:4, 3:6, 6] = 2
    part[:5, :, 4] = IGNORE
    by_nibabel(places[0], more)
    (places[1] / "labels.nii.gz").unlink()
    by_nibabel(places[1], part)
    result = collect(foreseen, done.folder)
    assert result.answered == (1,)
    assert "6 voxels in slices 6 to 6 of axis 2 were changed outside" in result.warnings[0]
    assert "query 2 is answered in part (50%) and stays open" in result.warnings[1]
    assert np.array_equal(
        foreseen.target_of("a").looked_at,
        slices_only(2) | (slices_only(4) & (np.arange(10) >= 5)[:, None, None]),
    )


def test_the_minutes_that_somebody_wrote_down_are_logged(
    foreseen: Workspace, tmp_path: Path
) -> None:
    done = pack(foreseen, tmp_path / "packs")
    for query, minutes in zip(done.pack.queries, ("1,5", "2", "long"), strict=True):
        place = done.folder / query.folder
        by_nibabel(place, drawn(place))
        (place / "minutes.txt").write_text(f"{minutes}\n")
    result = collect(foreseen, done.folder)
    assert [revision.origin.seconds for revision in result.stored] == [210.0, None]
    assert any("'long', no number of minutes" in warning for warning in result.warnings)


def _crop(array: LabelArray) -> Any:
    return itk_image(array)[1:, :, :]


def _shift_header(array: LabelArray) -> Any:
    image = itk_image(array)
    image.SetOrigin(image.TransformIndexToPhysicalPoint((0, 0, 1)))
    return image


def _mirror_header(array: LabelArray) -> Any:
    image = itk_image(array)
    image.SetDirection((np.reshape(image.GetDirection(), (3, 3)) @ np.diag([-1, 1, 1])).ravel())
    return image


def _mirror_voxels(array: LabelArray) -> Any:
    return itk_image(array[::-1])


def _shift_voxels(array: LabelArray) -> Any:
    return itk_image(np.roll(array, 1, axis=2))


def _unknown(array: LabelArray) -> Any:
    return itk_image(np.where(array == 2, 9, array).astype(np.uint8))


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (_crop, r"shape \(9, 12, 7\) instead of \(10, 12, 7\)"),
        (_shift_header, r"a header that is shifted by \+1 voxels along axis 2"),
        (_mirror_header, "a header that is mirrored along axis 0"),
        (_mirror_voxels, "mirrored along axis 0"),
        (_shift_voxels, "shifted by one slice to higher indices along axis 2"),
        (_unknown, "9"),
    ],
)
def test_a_wrong_place_is_refused_with_the_reason_and_nothing_is_lost(
    foreseen: Workspace, tmp_path: Path, spoil: Callable[[LabelArray], Any], found: str
) -> None:
    done = pack(foreseen, tmp_path / "packs")
    places = [done.folder / query.folder for query in done.pack.queries]
    before = content(foreseen)
    array = drawn(places[0])
    array[0, 0, 2] = 2
    sitk.WriteImage(spoil(array), str(places[0] / "labels.nii.gz"))
    by_nibabel(places[2], drawn(places[2]))
    with pytest.raises(DataError, match=rf'case "a".*{found}') as caught:
        collect(foreseen, done.folder)
    assert len(caught.value.problems) == 1
    assert content(foreseen) == before
    assert (places[0] / "labels.nii.gz").exists()


def test_a_drawing_beside_the_asked_slice_is_told_without_a_proposal(
    asked: Workspace, tmp_path: Path
) -> None:
    done = pack(asked, tmp_path / "packs")
    place = done.folder / done.pack.queries[0].folder
    sitk.WriteImage(_shift_voxels(drawn(place)), str(place / "labels.nii.gz"))
    with pytest.raises(DataError, match="shifted by one slice to higher indices along axis 2"):
        collect(asked, done.folder)


def test_two_different_answers_are_refused(asked: Workspace, tmp_path: Path) -> None:
    done = pack(asked, tmp_path / "packs")
    place = done.folder / done.pack.queries[0].folder
    by_nibabel(place, drawn(place))
    by_itk(".nrrd", sitk.sitkUInt8)(place, np.roll(drawn(place), 1, axis=0))
    with pytest.raises(DataError, match=r"one changed label map, found labels.nii and labels.nrrd"):
        collect(asked, done.folder)


def test_a_mask_that_was_drawn_into_is_reported(asked: Workspace, tmp_path: Path) -> None:
    done = pack(asked, tmp_path / "packs")
    place = done.folder / done.pack.queries[0].folder
    sitk.WriteImage(itk_image(organ()), str(place / "label_here.nii.gz"))
    (warning,) = collect(asked, done.folder).warnings
    assert "label_here.nii.gz was changed since it was handed out" in warning


def test_where_planes_cross_the_correction_counts(foreseen: Workspace, tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "other", "a")
    ask(workspace, ("a", slice_box(3)), ("a", slice_box(5, axis=0)))
    done = pack(workspace, tmp_path / "packs")
    assert foreseen.root != workspace.root
    places = [done.folder / query.folder for query in done.pack.queries]
    by_nibabel(places[0], drawn(places[0]))
    other = read_label_map(places[1] / "labels.nii.gz", LABELS).array.copy()
    other[5, 0, 0] = 2
    by_nibabel(places[1], other)
    result = collect(workspace, done.folder)
    assert (result.answered, result.warnings) == ((1, 2), ())
    values = workspace.target_of("a").values
    assert np.array_equal(values[..., 3], organ()[..., 3])
    assert values[5, 0, 0] == 2


def test_packs_of_another_workspace_are_refused(asked: Workspace, tmp_path: Path) -> None:
    done = pack(asked, tmp_path / "packs")
    other = make_workspace(tmp_path / "other", "b", "c")
    with pytest.raises(DataError, match="2 problems") as caught:
        collect(other, done.folder)
    assert "no case of this name" in str(caught.value)
    assert "another scan of this name" in str(caught.value)


def test_an_answer_after_the_round_is_still_taken(foreseen: Workspace, tmp_path: Path) -> None:
    done = pack(foreseen, tmp_path / "packs")
    place = done.folder / done.pack.queries[0].folder
    by_nibabel(place, drawn(place))
    asked_again = CollectOptions(confirm=frozenset({1, 2, 3}))
    collect(foreseen, done.folder, asked_again)
    later = read_label_map(place / "labels.nii", LABELS).array.copy()
    later[0, 0, 2] = 2
    by_nibabel(place, later)
    result = collect(foreseen, done.folder)
    assert len(result.stored) == 1
    assert "query 1 of round 0 is no longer open" in result.warnings[0]
    with pytest.raises(UsageError, match="round 0 has no open query; run `voxloop train`"):
        pack(foreseen, tmp_path / "again")
    with pytest.raises(UsageError, match="holds something already"):
        pack(foreseen, done.folder)
