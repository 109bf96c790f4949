"""A second model draws at the scans' own resolution what the first one finds in a large field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from phantoms import ellipsoid_mask, oblique_geometry
from plans import narrow_networks
from voxloop.cli.main import execute
from voxloop.errors import DataError, UsageError
from voxloop.io.formats import read_label_map, write_label_map, write_volume
from voxloop.model.checkpoint import load_checkpoint
from voxloop.plan.preprocess import Prepared
from voxloop.predict.options import InferenceOptions
from voxloop.train.closer import closer_cases, cut_case
from voxloop.train.config import TrainConfig
from voxloop.volume.boxes import Box
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume
from voxloop.workspace.actions.add import add
from voxloop.workspace.actions.collect import CollectOptions, collect
from voxloop.workspace.actions.segment import segment
from voxloop.workspace.actions.train import train
from voxloop.workspace.actions.train_detail import train_detail
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.detail import detail_of
from voxloop.workspace.learning import annotated_cases, annotation_hashes
from voxloop.workspace.workspace import Workspace

LABELS = LabelTable.from_names("shell")
CONFIG = TrainConfig(steps=200, seed=3)
QUICK = InferenceOptions(engine="torch", estimate=False)
SPACING_MM = (2.0, 2.0, 2.5)


@pytest.fixture(autouse=True)
def _small_and_coarse(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Networks of few weights, which may work on nine thousand voxels."""
    monkeypatch.setattr("voxloop.plan.planner._WORKING_VOX", 9_000)
    modules = ("voxloop.workspace.actions.train", "voxloop.workspace.actions.train_detail")
    with narrow_networks(*modules, width=8):
        yield


def _case(seed: int) -> tuple[Volume, LabelMap]:
    """A bright shell of one or two voxels, somewhere in a scan four times as wide."""
    rng = np.random.default_rng(seed)
    geometry = oblique_geometry((48, 46, 36), SPACING_MM)
    x, y, z = rng.uniform(-14, 14, 3)
    outer = ellipsoid_mask(geometry, (13.0, 12.0, 14.0), (x, y, z))
    inner = ellipsoid_mask(geometry, (9.5, 8.5, 10.5), (x, y, z))
    labels = (outer & ~inner).astype(np.uint8)
    noise = rng.normal(0, 8, geometry.shape)
    return (
        Volume((100.0 * labels + noise).astype(np.float32), geometry),
        LabelMap(labels, geometry, LABELS),
    )


def _workspace(folder: Path, count: int = 3) -> Workspace:
    for number in range(count):
        scan, label_map = _case(number)
        write_volume(folder / "data" / f"s{number}.nii.gz", scan)
        write_label_map(folder / "labels" / f"s{number}.nii.gz", label_map)
    workspace = Workspace.create(folder / "project", "shells", LABELS, "tester")
    add(workspace, folder / "data")
    collect(workspace, folder / "labels", CollectOptions(looked_at=LookedAt.ALL))
    return workspace


def _dice(found: Path, truth: LabelMap) -> float:
    array = read_label_map(found, LABELS).array
    both = ((array == 1) & (truth.array == 1)).sum()
    return float(2 * both / ((array == 1).sum() + (truth.array == 1).sum()))


def test_train_and_segment_with_a_second_model(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    workspace = _workspace(tmp_path)
    scan, truth = _case(99)
    new = tmp_path / "new" / "x.nii.gz"
    write_volume(new, scan)
    first = train(workspace, CONFIG)
    fast = InferenceOptions(engine="torch", estimate=False, quality="fast")
    segment(first.model, new, tmp_path / "one", options=fast)
    code = execute(["train", "-w", str(workspace.root), "--steps", "200", "--seed", "3",
                 "--detail", "--json"])  # fmt: skip
    document = json.loads(capfd.readouterr().out)
    assert code == 0
    assert document["steps"] == 0, "the first model was there already"
    closer = document["detail"]
    assert max(closer["spacing_mm"]) < 2.6
    assert min(closer["first_spacing_mm"]) > 3
    done = segment(first.model, new, tmp_path / "two", options=QUICK)
    record = json.loads((tmp_path / "two" / "x.json").read_text())
    assert record["detail"]
    assert "a second model at 2" in str(done.summary.provenance)
    coarse, fine = (_dice(tmp_path / name / "x.nii.gz", truth) for name in ("one", "two"))
    assert coarse < 0.8
    assert fine > coarse + 0.1
    again = train_detail(workspace, CONFIG)
    assert again.training.steps == 0, "what is there is not learned again"
    assert segment(first.model, new, tmp_path / "two", options=QUICK).kept == ("x",)
    model, companion = load_checkpoint(first.model), load_checkpoint(again.model)
    assert detail_of(first.model, model) is not None
    assert detail_of(first.model, companion) is None, "it belongs to another model"
    again.model.with_name("detail.json").write_text('{"format": "something else"}')
    with pytest.raises(DataError, match=r"detail\.json: expected a record as Voxloop writes it"):
        detail_of(first.model, model)


def test_nothing_is_trained_where_nothing_is_gained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = _workspace(tmp_path, 2)
    with pytest.raises(UsageError, match=r"no model yet; run `voxloop train` first"):
        train_detail(workspace, CONFIG)
    train(workspace, TrainConfig(steps=1))
    monkeypatch.setattr("voxloop.plan.planner._WORKING_VOX", 900)
    with pytest.raises(UsageError, match=r"hardly finer than the first .* nothing was trained"):
        train_detail(workspace, CONFIG)
    monkeypatch.setattr("voxloop.plan.planner._WORKING_VOX", 4_000_000)
    train(workspace, TrainConfig(steps=2))
    with pytest.raises(UsageError, match=r"2 x 2 x 2\.5 mm, which is the scans' own resolution"):
        train_detail(workspace, CONFIG)


def test_a_cut_case_lies_where_it_lay(tmp_path: Path) -> None:
    workspace = _workspace(tmp_path, 1)
    (case,) = annotated_cases(workspace, annotation_hashes(workspace))
    box = Box((3, 5, 7), (20, 24, 21))
    part = cut_case(case, box)
    (volume,), (whole,) = part.read(), case.read()
    np.testing.assert_array_equal(volume.array, whole.array[box.slices])
    np.testing.assert_allclose(part.geometry.matrix, volume.geometry.matrix, atol=1e-9)
    np.testing.assert_allclose(
        part.geometry.to_world([(0, 0, 0)]), case.geometry.to_world([box.start])
    )
    assert part.target.values.shape == part.geometry.shape == box.shape
    assert part.content != case.content


def test_cases_in_which_nothing_is_to_be_seen_are_left_out(tmp_path: Path) -> None:
    workspace = _workspace(tmp_path, 2)
    one, other = annotated_cases(workspace, annotation_hashes(workspace))
    other.target.values[:] = 0

    class _Blind:
        """A first model that finds nothing."""

        def probabilities(self, channels: tuple[Volume, ...]) -> object:
            volume = channels[0]
            prepared = Prepared(volume.array[None], volume.geometry, volume.geometry)
            chances = np.zeros((2, *volume.array.shape), dtype=np.float32)
            chances[0] = 1
            return chances, prepared

    blind: object = _Blind()
    (left,) = closer_cases([one, other], blind, 4.0)  # type: ignore[arg-type]
    assert left.id == one.id
    assert left.geometry.shape < one.geometry.shape
    with pytest.raises(DataError, match=r"finds a structure, or one is annotated.*none of 1"):
        closer_cases([other], blind, 4.0)  # type: ignore[arg-type]
