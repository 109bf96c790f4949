"""Engines: each says what PyTorch says, the fastest is taken, and one that does not is not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from plans import small_plan
from voxloop.errors import MissingExtraError, UsageError
from voxloop.model.blocks import unfold_voxels
from voxloop.model.checkpoint import Checkpoint
from voxloop.model.portable import import_openvino
from voxloop.model.unet import build_network
from voxloop.plan.plan import Normalisation, Plan
from voxloop.predict.engines import choose, openvino_engine
from voxloop.predict.engines.choose import ENGINE_NAMES, open_engine
from voxloop.predict.engines.engine import Engine, Float32Array
from voxloop.predict.engines.onnx_engine import OnnxEngine
from voxloop.predict.engines.openvino_engine import OpenVinoEngine
from voxloop.predict.engines.torch_engine import TorchEngine
from voxloop.predict.engines.verify import Agreement, compare, sample_tile

CT = Normalisation("fixed", (-1000.0, 500.0), -250.0, 400.0)


def _plan(**changes: Any) -> Plan:
    """All that an exporter could stumble over: folded space, odd strides, position, channels."""
    return small_plan(
        **{
            "patch_shape": (16, 16, 8),
            "stem": (2, 2, 1),
            "strides": ((2, 2, 1), (2, 2, 2)),
            "widths": (8, 12, 16),
            "channel_names": ("CT", "MR"),
            "normalisation": (CT, Normalisation("volume")),
            "use_position": True,
            **changes,
        }
    )


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    """A model that has learned to tell the tile's regions apart, roughly."""
    plan = _plan()
    network = build_network(plan, 5)
    tile = torch.from_numpy(sample_tile(plan))
    brightness = tile[:, 0]
    target = (brightness > -1.8).long() + (brightness > 0.2).long()
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(60):
        loss = functional.cross_entropy(network(tile), target)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return Checkpoint(plan, network.state_dict(), {})


class _Wrong:
    """An engine that confuses two classes."""

    def __init__(self, checkpoint: Checkpoint, *_: object) -> None:
        self._engine = TorchEngine(checkpoint, "fp32")
        self.stem = self._engine.stem
        self.name = "openvino-bf16"

    def logits(self, tile: Float32Array) -> Float32Array:
        return np.ascontiguousarray(self._engine.logits(tile)[:, ::-1])


@pytest.mark.parametrize(
    "changes",
    [{}, {"stem": (1, 1, 1)}, {"patch_shape": (8, 8, 2), "use_position": False}],
    ids=["folded", "plain", "one voxel at the bottom"],
)
def test_engines_say_in_fp32_what_the_network_says(changes: dict[str, Any]) -> None:
    plan = _plan(**changes)
    unlearned = {"unlearned": [4]}
    model = Checkpoint(plan, build_network(plan, 1).state_dict(), unlearned)
    tiles = np.concatenate([sample_tile(plan, seed) for seed in (1, 2)])
    engines: list[Engine] = [
        TorchEngine(model, "fp32"),
        OpenVinoEngine(model, "fp32"),
        OnnxEngine(model),
    ]
    with torch.no_grad():
        truth = model.network(torch.device("cpu"))(torch.from_numpy(tiles)).numpy()
    for engine in engines:
        blocks = engine.logits(tiles)
        assert blocks.dtype == np.float32
        assert blocks.flags.c_contiguous
        found = _side_by_side(engine, tiles)
        np.testing.assert_allclose(found, truth, atol=2e-3, err_msg=engine.name)
        assert not (found.argmax(1) == 2).any()  # what was not learned is never predicted
        np.testing.assert_allclose(engine.logits(tiles[:1]), blocks[:1], rtol=1e-6, atol=1e-4)


def _side_by_side(engine: Engine, tiles: Float32Array) -> Float32Array:
    """Logits (N, C, I, J, K)."""
    blocks = torch.from_numpy(engine.logits(tiles))
    return torch.stack([unfold_voxels(one, engine.stem) for one in blocks]).numpy()


def test_an_answer_is_not_overwritten_by_the_next(checkpoint: Checkpoint) -> None:
    for make in (OpenVinoEngine, OnnxEngine, TorchEngine):
        engine: Engine = make(checkpoint)
        first = engine.logits(sample_tile(checkpoint.plan, 1))
        kept = first.copy()
        engine.logits(sample_tile(checkpoint.plan, 2))
        np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("wanted", [name for name in ENGINE_NAMES if name != "auto"])
def test_what_is_asked_for_is_opened_and_agrees(checkpoint: Checkpoint, wanted: str) -> None:
    if wanted == "openvino-bf16" and "BF16" not in import_openvino().Core().get_property(
        "CPU", "OPTIMIZATION_CAPABILITIES"
    ):
        pytest.skip("this processor has no bfloat16")
    engine = open_engine(checkpoint, wanted)
    assert engine.name.startswith(wanted)
    tile = sample_tile(checkpoint.plan, 7)
    truth = TorchEngine(checkpoint, "fp32").logits(tile)
    assert compare(truth, engine.logits(tile)).mean_difference < 0.01


def test_the_fastest_that_agrees_is_taken_and_remembered(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_engine(checkpoint, cache=tmp_path)
    assert first.agreement is not None
    assert first.agreement.holds
    assert first.name == min(first.seconds_per_tile, key=lambda n: first.seconds_per_tile[n])
    assert len(first.seconds_per_tile) == 2
    files = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(files) == 2  # the compiled network and what was found
    monkeypatch.setattr(choose, "_examined", None)
    monkeypatch.setattr(openvino_engine, "as_openvino", None)
    again = open_engine(checkpoint, cache=tmp_path)
    assert again.to_json() == first.to_json()
    assert files == {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    tile = sample_tile(checkpoint.plan, 3)
    np.testing.assert_array_equal(again.logits(tile), first.logits(tile))


@pytest.mark.parametrize("harm", ["truncated", "altered", "empty"])
def test_a_damaged_cache_is_made_anew(checkpoint: Checkpoint, tmp_path: Path, harm: str) -> None:
    truth = open_engine(checkpoint, "openvino", tmp_path)
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        middle = len(content) // 2
        altered = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
        path.write_bytes({"truncated": content[:middle], "altered": altered, "empty": b""}[harm])
    again = open_engine(checkpoint, "openvino", tmp_path)
    assert again.name == truth.name
    tile = sample_tile(checkpoint.plan, 3)
    np.testing.assert_array_equal(again.logits(tile), truth.logits(tile))


def test_the_same_weights_with_a_label_silenced_are_another_model(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    silent = Checkpoint(checkpoint.plan, checkpoint.weights, {"unlearned": [1]})
    tile = sample_tile(checkpoint.plan, 3)
    for model in (checkpoint, silent):
        found = OpenVinoEngine(model, "fp32", tmp_path).logits(tile)
        truth = TorchEngine(model, "fp32").logits(tile)
        np.testing.assert_allclose(found, truth, atol=1e-2)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_engine_that_does_not_agree_is_never_used(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "OpenVinoEngine", _Wrong)
    found = open_engine(checkpoint, cache=tmp_path)
    assert found.name.startswith("torch-")
    assert "openvino-bf16 was not taken" in found.note
    with pytest.raises(UsageError, match=r"'openvino' does not agree with PyTorch for this model"):
        open_engine(checkpoint, "openvino", tmp_path)


def test_an_engine_that_cannot_run_is_passed_over(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Engine:
        raise RuntimeError("unsupported processor\nwith details")

    monkeypatch.setattr(choose, "OpenVinoEngine", broken)
    found = open_engine(checkpoint)
    assert found.name.startswith("torch-")
    assert "cannot run here: unsupported processor" in found.note
    with pytest.raises(RuntimeError, match="unsupported processor"):
        open_engine(checkpoint, "openvino")


def test_without_the_extra_auto_takes_torch_and_a_name_says_what_is_missing(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("openvino", "onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, package, None)
    for name in ("openvino", "onnxruntime"):
        with pytest.raises(MissingExtraError, match=rf"'{name}'.*voxloop\[infer\]"):
            open_engine(checkpoint, name)
    monkeypatch.setattr(choose, "_version", lambda _package: "")
    found = open_engine(checkpoint)
    assert found.name.startswith("torch-")
    assert "voxloop[infer]" in found.note


def test_an_unknown_engine_is_answered_with_those_there_are(checkpoint: Checkpoint) -> None:
    with pytest.raises(UsageError, match=r"no engine 'tensorrt'; take one of auto, torch"):
        open_engine(checkpoint, "tensorrt")


def test_openvino_reports_to_nobody() -> None:
    import_openvino()
    assert "openvino_telemetry" not in sys.modules
    from openvino.tools.ovc import telemetry_utils

    assert telemetry_utils.tm.__name__.endswith("telemetry_stub")


def test_agreement_is_measured_as_defined() -> None:
    reference = np.zeros((1, 2, 10, 10, 10), np.float32)
    reference[:, 1] = 4.0
    found = reference.copy()
    found[:, :, 0, 0, :3] = found[:, ::-1, 0, 0, :3]
    agreement = compare(reference, found)
    gap = 1 / (1 + np.exp(-4.0)) - 1 / (1 + np.exp(4.0))
    assert agreement.differing == pytest.approx(0.003)
    assert agreement.mean_difference == pytest.approx(0.003 * gap, rel=1e-5)
    assert agreement.largest_difference == pytest.approx(gap, rel=1e-5)
    assert agreement.holds
    assert not compare(reference, np.full_like(reference, np.nan)).holds
    assert not compare(reference, reference[:, :1]).holds
    assert not Agreement(0.006, 0.0, 0.0).holds
    assert not Agreement(0.0, 0.011, 0.0).holds


def test_the_made_up_tile_looks_like_a_prepared_scan() -> None:
    plan = _plan(patch_shape=(32, 32, 32))
    tile = sample_tile(plan)
    assert tile.shape == (1, 5, 32, 32, 32)
    np.testing.assert_array_equal(tile, sample_tile(plan))
    ct, mr = tile[0, 0], tile[0, 1]
    assert ct.min() == pytest.approx(-1.875)
    assert ct.max() <= 1.875
    assert 0.1 < (ct == ct.min()).mean() < 0.7  # the air around the body
    assert abs(mr.mean()) < 1.5
    assert np.abs(np.diff(ct, axis=0)).mean() < 0.5 * ct.std()  # nothing like white noise
    place = tile[0, 2:]
    assert place[0, -1, 0, 0] == pytest.approx(0.155)  # 15.5 voxels of 1 mm, in 100 mm
    np.testing.assert_allclose(place[2, 0, 0], (np.arange(32) - 15.5) * 0.02, atol=1e-6)
