from __future__ import annotations

import io
import itertools
from pathlib import Path

import matplotlib.image
import numpy as np
import numpy.typing as npt
import pytest

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.errors import DataError, UsageError
from voxloop.mesh.extraction.extract import extract_surface
from voxloop.mesh.mesh import Mesh
from voxloop.report.curves import Curve, learning_curve_png
from voxloop.report.meshes import meshes_png
from voxloop.report.overlays import largest_slice, overlay_png
from voxloop.report.planes import AXIAL, CORONAL, PLANES, SAGITTAL, Plane
from voxloop.report.shading import ANTERIOR, LEFT, SUPERIOR, Camera, View, shade
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import IGNORE, LabelTable
from voxloop.volume.volume import LabelMap, Volume

FLIPS = list(itertools.product((False, True), repeat=3))
ORDERS = list(itertools.permutations(range(3)))
LABELS = LabelTable.from_names("organ", "tumour")
BLUE, ORANGE = (0, 0x72, 0xB2), (0xE6, 0x9F, 0)
Way = tuple[int, int, int]


def decode(png: bytes) -> npt.NDArray[np.int64]:
    pixels = matplotlib.image.imread(io.BytesIO(png), format="png")
    return np.asarray(np.rint(255 * np.asarray(pixels)[..., :3]), dtype=np.int64)


def coloured(
    pixels: npt.NDArray[np.int64], colour: tuple[int, int, int], tolerance: int = 12
) -> npt.NDArray[np.bool_]:
    return np.asarray((np.abs(pixels - np.array(colour)) <= tolerance).all(axis=-1))


def rearranged(
    array: npt.NDArray[np.uint8],
    geometry: Geometry,
    flips: tuple[bool, bool, bool],
    order: tuple[int, ...],
) -> tuple[npt.NDArray[np.uint8], Geometry]:
    """The same scan stored with its axes flipped and permuted."""
    matrix = geometry.matrix.copy()
    for axis in (number for number, flip in enumerate(flips) if flip):
        array = np.flip(array, axis)
        matrix[:3, 3] += matrix[:3, axis] * (array.shape[axis] - 1)
        matrix[:3, axis] *= -1
    matrix[:, :3] = matrix[:, :3][:, order]
    array = np.ascontiguousarray(array.transpose(order))
    return array, Geometry.from_affine(array.shape, matrix)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("flips", FLIPS)
def test_slices_show_the_same_sides_however_the_file_stores_its_axes(
    flips: tuple[bool, bool, bool], order: tuple[int, ...]
) -> None:
    straight = oblique_geometry((4, 5, 6))
    array, geometry = rearranged(
        np.arange(120, dtype=np.uint8).reshape(4, 5, 6), straight, flips, order
    )
    for plane, voxel in ((AXIAL, 2), (CORONAL, 3), (SAGITTAL, 1)):
        axis = plane.array_axis(geometry)
        index = array.shape[axis] - 1 - voxel if flips[plane.normal] else voxel
        expected = plane.shown(np.arange(120).reshape(4, 5, 6), straight, voxel)
        np.testing.assert_array_equal(plane.shown(array, geometry, index), expected)
        assert plane.pixel_mm(geometry) == pytest.approx(plane.pixel_mm(straight))


@pytest.mark.parametrize(
    ("plane", "left", "right", "top", "bottom"),
    [
        (AXIAL, (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0)),
        (CORONAL, (1, 0, 0), (-1, 0, 0), (0, 0, 1), (0, 0, -1)),
        (SAGITTAL, (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)),
    ],
)
def test_letters_stand_at_the_side_of_the_patient_they_name(
    plane: Plane, left: Way, right: Way, top: Way, bottom: Way
) -> None:  # fmt: skip
    names = {(1, 0, 0): "R", (-1, 0, 0): "L", (0, 1, 0): "A", (0, -1, 0): "P"}
    names |= {(0, 0, 1): "S", (0, 0, -1): "I"}
    assert plane.letters == tuple(names[way] for way in (left, right, top, bottom))
    geometry = Geometry.from_affine((9, 9, 9), np.diag([-1.0, -1.0, 1.0, 1.0]))
    for way, (row, column) in (
        (left, (4, 0)), (right, (4, 8)), (top, (0, 4)), (bottom, (8, 4)),
    ):  # fmt: skip
        array = np.zeros((9, 9, 9), dtype=bool)
        voxel = np.rint(geometry.to_voxel([geometry.to_world([[4, 4, 4]])[0] + np.array(way) * 4]))
        array[tuple(voxel[0].astype(int))] = True
        assert plane.shown(array, geometry, 4)[row, column]


@pytest.mark.parametrize("flips", FLIPS)
def test_a_label_on_the_patients_left_is_drawn_on_the_right(
    flips: tuple[bool, bool, bool],
) -> None:
    straight = Geometry.from_affine((24, 24, 24), np.eye(4))
    array = np.zeros((24, 24, 24), dtype=np.uint8)
    array[4:8, 6:18, 6:18] = 1  # towards the left of the patient, since x grows to the right
    array[16:20, 6:10, 6:10] = 2
    array, geometry = rearranged(array, straight, flips, (0, 1, 2))
    labels = LabelMap(array, geometry, LABELS)
    pixels = decode(overlay_png(Volume(np.zeros(array.shape), geometry), reference=labels))
    for column in (0, 1):
        blue, orange = (
            np.argwhere(coloured(panel(pixels, 1, column), colour)).mean(axis=0)
            for colour in (BLUE, ORANGE)
        )
        assert blue[1] > orange[1] + 50
        assert blue[0] < orange[0] - 20  # the orange one lies at the back and at the bottom


def test_the_outline_runs_along_the_edge_of_the_mask() -> None:
    geometry = Geometry.from_affine((40, 40, 40), np.diag([1.0, 1.0, 2.0, 1.0]))
    array = np.zeros((40, 40, 40), dtype=np.uint8)
    array[10:30, 15:25, 18:22] = 1  # 20 x 10 x 8 mm, in the middle of the grid
    labels = LabelMap(array, geometry, LABELS)
    shown = panel(
        decode(overlay_png(Volume(np.zeros(array.shape), geometry), prediction=labels)), 1, 0
    )
    rows, columns = np.nonzero(coloured(shown, BLUE))
    middle = shown.shape[0] / 2
    # what is shown reaches 8 mm beyond 20 mm on both sides, so 36 mm fill the panel
    pixels_per_mm = shown.shape[1] / 36
    half_line = 3.0
    assert columns.max() - middle == pytest.approx(10 * pixels_per_mm, abs=half_line)
    assert middle - columns.min() == pytest.approx(10 * pixels_per_mm, abs=half_line)
    assert rows.max() - middle == pytest.approx(5 * pixels_per_mm, abs=half_line)
    assert middle - rows.min() == pytest.approx(5 * pixels_per_mm, abs=half_line)


def panel(pixels: npt.NDArray[np.int64], row: int, column: int) -> npt.NDArray[np.int64]:
    """One panel of an overlay: 2.35 inches wide, 0.05 apart, 0.3 below the top, 0.34 from left."""
    top, left = round((0.3 + 2.4 * row) * 144), round((0.34 + 2.4 * column) * 144)
    side = round(2.35 * 144)
    return pixels[top : top + side, left : left + side]


def test_the_slice_with_most_of_all_labels_is_chosen_among_what_was_looked_at() -> None:
    geometry = oblique_geometry((10, 10, 10))
    array = np.full((10, 10, 10), IGNORE, dtype=np.uint8)
    array[:, :, 2] = 0
    array[2:5, 2:5, 2] = 1
    array[:, :, 7] = 0
    array[2:9, 2:9, 7] = 1
    array[0, 0, 7] = 2
    assert largest_slice(LabelMap(array, geometry, LABELS), 2) == 7


@pytest.mark.parametrize("planes_axis", [plane.normal for plane in PLANES])
def test_equal_slices_give_the_same_choice_on_a_flipped_grid(planes_axis: int) -> None:
    straight = oblique_geometry((8, 8, 8))
    array = np.zeros((8, 8, 8), dtype=np.uint8)
    array[2:6, 2:6, 2:6] = 1
    flips = (planes_axis == 0, planes_axis == 1, planes_axis == 2)
    flipped, geometry = rearranged(array, straight, flips, (0, 1, 2))
    there = largest_slice(LabelMap(array, straight, LABELS), planes_axis)
    back = largest_slice(LabelMap(flipped, geometry, LABELS), planes_axis)
    assert back == 7 - there


def test_an_overlay_refuses_other_grids_and_nothing_to_show() -> None:
    geometry = oblique_geometry((6, 6, 6))
    image = Volume(np.zeros((6, 6, 6)), geometry)
    other = oblique_geometry((6, 6, 6), origin_mm=(0.0, 0.0, 0.0))
    with pytest.raises(DataError, match="reference: expected the scan's grid"):
        overlay_png(image, reference=LabelMap(np.zeros((6, 6, 6), np.uint8), other, LABELS))
    with pytest.raises(UsageError, match="a reference, a prediction, or both"):
        overlay_png(image)


def test_empty_label_maps_and_flat_scans_can_be_drawn() -> None:
    geometry = oblique_geometry((6, 6, 6))
    empty = LabelMap(np.zeros((6, 6, 6), np.uint8), geometry, LABELS)
    filled = LabelMap(np.ones((6, 6, 6), np.uint8), geometry, LABELS)
    image = Volume(np.full((6, 6, 6), 7.0), geometry)
    without = coloured(decode(overlay_png(image, reference=empty, prediction=empty)), BLUE).sum()
    found = coloured(decode(overlay_png(image, reference=empty, prediction=filled)), BLUE).sum()
    assert found > without + 500


@pytest.mark.parametrize(
    ("view", "towards", "right"),
    [
        (ANTERIOR, (0, 1, 0), (-1, 0, 0)),
        (LEFT, (-1, 0, 0), (0, -1, 0)),
        (SUPERIOR, (0, 0, 1), (1, 0, 0)),
    ],
)
def test_a_ball_before_another_hides_it_and_one_beside_it_lies_on_its_side(
    view: View, towards: tuple[float, ...], right: tuple[float, ...]
) -> None:
    geometry = Geometry.from_affine((13, 13, 13), np.diag([1.0, 1.0, 1.0, 1.0]))
    ball = extract_surface(
        LabelMap(ellipsoid_mask(geometry, (4.0, 4.0, 4.0)).astype(np.uint8), geometry, LABELS), 1
    )
    back = ball.moved(ball.vertices_mm - 6.0)
    front = ball.moved(back.vertices_mm + 12 * np.array(towards))
    side = ball.moved(back.vertices_mm + 12 * np.array(right))
    camera = Camera(view, (0.0, 0.0, 0.0), 0.25, 160)
    pixels = shade([front, back, side], list(np.eye(3)), camera)
    hue = np.argmax(pixels, axis=2)
    drawn = pixels.min(axis=2) < 0.6
    assert set(hue[drawn].tolist()) == {0, 2}
    assert hue[80, 80] == 0
    columns = np.nonzero((drawn & (hue == 2)).any(axis=0))[0]
    assert columns.mean() == pytest.approx(80 + 12 / 0.25, abs=2)
    area_mm2 = (drawn & (hue == 0)).sum() * 0.25**2
    assert area_mm2 == pytest.approx(np.pi * 4**2, rel=0.08)


def test_meshes_are_drawn_in_their_colours_and_named_in_the_legend() -> None:
    geometry = oblique_geometry((20, 20, 14))
    mask = ellipsoid_mask(geometry, (4.0, 5.0, 6.0)).astype(np.uint8)
    mesh = extract_surface(LabelMap(mask, geometry, LABELS), 1)
    beside = Mesh(mesh.vertices_mm + np.array([14.0, 0.0, 0.0]), mesh.faces)
    pixels = decode(meshes_png({1: mesh, 2: beside}, LABELS, views=(ANTERIOR,)))
    blue = pixels[..., 2] > pixels[..., 0] + 40
    orange = pixels[..., 0] > pixels[..., 2] + 40
    scene = slice(50, -90)
    # seen from the front, what lies to the patient's right is on the left
    assert np.argwhere(orange[scene])[:, 1].mean() < np.argwhere(blue[scene])[:, 1].mean()
    assert blue[-60:].sum() > 100
    assert orange[-60:].sum() > 100
    with pytest.raises(UsageError, match="at least one mesh and one view"):
        meshes_png({}, LABELS)


def curve(name: str, dice: tuple[float, ...]) -> Curve:
    lower, upper = tuple(d - 0.02 for d in dice), tuple(d + 0.02 for d in dice)
    return Curve(name, (0.01, 0.02, 0.04), dice, lower, upper)


def test_a_learning_curve_shows_each_strategy_in_its_own_colour_higher_dice_higher_up() -> None:
    png = learning_curve_png(
        [curve("better", (0.7, 0.8, 0.85)), curve("worse", (0.5, 0.6, 0.65))], full_dice=0.9
    )
    pixels = decode(png)
    assert pixels.shape == (619, 1036, 3)
    plot = pixels[:400]  # the legend lies below
    better, worse = (np.argwhere(coloured(plot, colour)) for colour in (BLUE, ORANGE))
    assert len(better) > 500
    assert better[:, 0].mean() < worse[:, 0].mean() - 100
    assert png == learning_curve_png(
        [curve("better", (0.7, 0.8, 0.85)), curve("worse", (0.5, 0.6, 0.65))], full_dice=0.9
    )


def test_curves_that_cannot_be_drawn_are_refused() -> None:
    with pytest.raises(UsageError, match="ascending cost shares"):
        Curve("a", (0.2, 0.1), (0.5, 0.6), (0.4, 0.5), (0.6, 0.7))
    with pytest.raises(UsageError, match="each with an interval"):
        Curve("a", (0.1, 0.2), (0.5, 0.6), (0.4,), (0.6, 0.7))
    with pytest.raises(UsageError, match="1 to 8 curves, found 9"):
        learning_curve_png([curve(str(n), (0.1, 0.2, 0.3)) for n in range(9)])


def test_a_real_case_is_drawn(shared_data: Path) -> None:
    import SimpleITK as sitk

    name = "hippocampus_007"
    image = sitk.ReadImage(shared_data / "hippocampus" / "imagesTr" / f"{name}_0000.nii.gz")
    labels = sitk.ReadImage(shared_data / "hippocampus" / "labelsTr" / f"{name}.nii.gz")
    scan, array = (sitk.GetArrayFromImage(i).transpose(2, 1, 0) for i in (image, labels))
    geometry = Geometry.from_affine(array.shape, np.diag([1.0, 1.0, 1.0, 1.0]))
    reference = LabelMap(array.astype(np.uint8), geometry, LABELS)
    pixels = decode(overlay_png(Volume(scan, geometry), reference=reference, prediction=reference))
    for colour in (BLUE, ORANGE):
        assert coloured(pixels, colour).sum() > 1000
