"""The oracle says what the reference has, where it was asked and nowhere else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pools import LABELS

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.active.query import Query
from voxloop.active.trial.mistakes import AnnotatorError
from voxloop.active.trial.oracle import Oracle
from voxloop.errors import DataError, UsageError
from voxloop.volume.boxes import Box
from voxloop.volume.labels import IGNORE
from voxloop.volume.volume import LabelMap

GEOMETRY = oblique_geometry()


def reference(case_id: str) -> LabelMap:
    array = ellipsoid_mask(GEOMETRY).astype(np.uint8)
    array[:, :12] *= 2 if case_id == "a" else 1
    return LabelMap(array, GEOMETRY, LABELS)


def query(case_id: str, region: Box) -> Query:
    return Query(case_id, region, 1.0, "test", "a reason", 1.0, "voxels")


def slice_query(case_id: str, axis: int, index: int) -> Query:
    return query(case_id, Box.slice_at(GEOMETRY.shape, axis, index))


def test_all_queries_of_a_case_come_back_in_one_annotation() -> None:
    queries = [slice_query("b", 2, 7), slice_query("a", 2, 6), slice_query("b", 0, 9)]
    answers = Oracle(reference).answer(queries)
    assert list(answers) == ["a", "b"]
    given = answers["b"].label_map.array
    looked = np.zeros(GEOMETRY.shape, dtype=bool)
    looked[:, :, 7] = looked[9] = True
    np.testing.assert_array_equal(given != IGNORE, looked)
    np.testing.assert_array_equal(given[looked], reference("b").array[looked])
    assert {0, 1} <= set(given[looked].tolist())


def test_a_label_that_is_not_asked_for_is_not_given_away() -> None:
    oracle = Oracle(reference, asked=frozenset({1}))
    answer = oracle.answer([slice_query("a", 2, 7)])["a"]
    expected = np.where(reference("a").array[:, :, 7] == 1, 1, 0)
    np.testing.assert_array_equal(answer.label_map.array[:, :, 7], expected)
    assert answer.asked == {1}


def test_each_reference_is_read_once() -> None:
    read: list[str] = []

    def load(case_id: str) -> LabelMap:
        read.append(case_id)
        return reference(case_id)

    Oracle(load).answer([slice_query("a", 2, i) for i in range(5)])
    assert read == ["a"]


def test_a_region_off_the_grid_is_refused_with_its_case() -> None:
    outside = Box((0, 0, 0), (1, 1, GEOMETRY.shape[2] + 1))
    with pytest.raises(DataError, match='case "a": expected regions inside'):
        Oracle(reference).answer([query("a", outside)])


def test_a_reference_that_knows_nothing_there_is_named() -> None:
    blank = LabelMap(np.full(GEOMETRY.shape, IGNORE, dtype=np.uint8), GEOMETRY, LABELS)
    with pytest.raises(DataError, match=r'case "a", reference.*at least one voxel'):
        Oracle(lambda _: blank).answer([slice_query("a", 2, 3)])


DISC = oblique_geometry((140, 120, 3), (0.5, 0.6, 3.0))
RADIUS_MM = 25.0


def disc(_case_id: str) -> LabelMap:
    """A disc with a hole of another label in every slice."""
    i, j, _ = np.indices(DISC.shape)
    from_centre_mm = np.hypot((i - 69.5) * 0.5, (j - 59.5) * 0.6)
    array = (from_centre_mm < RADIUS_MM).astype(np.uint8)
    array[from_centre_mm < 6] = 2
    return LabelMap(array, DISC, LABELS)


def drawn(error: AnnotatorError, case_id: str = "a", index: int = 1) -> np.ndarray:
    asked = [query(case_id, Box.slice_at(DISC.shape, 2, index))]
    return Oracle(disc, error=error).answer(asked)[case_id].label_map.array[:, :, index]


def strayed_mm(found: np.ndarray) -> np.ndarray:
    """How far the disc's outline lies outside of where it should, in many directions."""
    angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    reach_mm = np.linspace(15, 34, 380)
    i = np.rint(np.outer(np.cos(angles), reach_mm) / 0.5 + 69.5).astype(int)
    j = np.rint(np.outer(np.sin(angles), reach_mm) / 0.6 + 59.5).astype(int)
    inside = found[i.clip(0, 139), j.clip(0, 119)] == 1
    return np.asarray(reach_mm[0] + inside.sum(axis=1) * 19 / 380 - RADIUS_MM)


def test_an_outline_strays_to_both_sides_by_what_is_stated() -> None:
    strays = np.concatenate(
        [strayed_mm(drawn(AnnotatorError(jitter_mm=1.5, seed=seed))) for seed in range(25)]
    )
    assert abs(strays.mean()) < 0.15
    assert np.sqrt((strays**2).mean()) == pytest.approx(1.5, rel=0.15)


def test_an_outline_wavers_smoothly() -> None:
    strays = strayed_mm(drawn(AnnotatorError(jitter_mm=1.5, waviness_mm=10.0)))
    steps = np.diff(strays, append=strays[0])
    assert np.abs(steps).max() < 1.5  # 2 degrees are 0.9 mm along the outline


def test_the_same_region_is_always_answered_alike_and_others_otherwise() -> None:
    error = AnnotatorError(jitter_mm=1.0, missed=0.3, seed=4)
    np.testing.assert_array_equal(drawn(error), drawn(error))
    for other in (
        drawn(error, case_id="b"),
        drawn(error, index=2),
        drawn(dataclasses.replace(error, seed=5)),
    ):
        assert (drawn(error) != other).any()


def test_labels_are_missed_as_often_as_stated_and_as_a_whole() -> None:
    exact = disc("a").array[:, :, 1]
    missed = 0
    for seed in range(200):
        found = drawn(AnnotatorError(missed=0.25, seed=seed))
        for value in (1, 2):
            gone = not (found == value).any()
            missed += gone
            np.testing.assert_array_equal(found[exact == value], 0 if gone else value)
    assert 0.18 < missed / 400 < 0.32


def test_an_annotator_without_mistakes_and_one_who_misses_all() -> None:
    np.testing.assert_array_equal(drawn(AnnotatorError()), disc("a").array[:, :, 1])
    assert not drawn(AnnotatorError(missed=1.0)).any()


def test_what_the_reference_does_not_know_stays_unknown() -> None:
    reference_ = disc("a")
    array = reference_.array.copy()
    array[:70] = IGNORE
    error = AnnotatorError(jitter_mm=2.0)
    region = Box.slice_at(DISC.shape, 2, 1)
    found = error.answer("a", dataclasses.replace(reference_, array=array), region)
    np.testing.assert_array_equal(found == IGNORE, array[region.slices] == IGNORE)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"jitter_mm": -1.0}, "0 mm or more"), ({"waviness_mm": 0.0}, "above 0"),
     ({"missed": 1.1}, "probability of 0 to 1")],
)  # fmt: skip
def test_impossible_mistakes_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AnnotatorError(**change)  # type: ignore[arg-type]
