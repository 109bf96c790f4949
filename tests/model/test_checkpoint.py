"""Checkpoints: everything comes back, and nothing but a checkpoint is taken for one."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from plans import small_plan
from voxloop.errors import DataError
from voxloop.model.checkpoint import (
    Checkpoint,
    load_checkpoint,
    read_tensors,
    save_checkpoint,
    write_tensors,
)
from voxloop.model.unet import build_network
from voxloop.plan.plan import Plan

PROVENANCE = {"identity": "abc", "cases": {"a": "0123"}, "steps": 7}


def _weights(plan: Plan, seed: int = 3) -> dict[str, Tensor]:
    return build_network(plan, seed).state_dict()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    plan = small_plan()
    save_checkpoint(tmp_path / "model.safetensors", Checkpoint(plan, _weights(plan), PROVENANCE))
    return tmp_path / "model.safetensors"


def test_a_checkpoint_comes_back_bit_for_bit(saved: Path) -> None:
    loaded = load_checkpoint(saved)
    original = Checkpoint(small_plan(), _weights(small_plan()), PROVENANCE)
    assert loaded.plan == original.plan
    assert loaded.provenance == PROVENANCE
    assert loaded.weights.keys() == original.weights.keys()
    for name, value in original.weights.items():
        assert torch.equal(loaded.weights[name], value)
    assert loaded.sha256 == original.sha256
    assert loaded.sha256 != Checkpoint(original.plan, _weights(small_plan(), 4), {}).sha256
    x = torch.randn(1, 1, 8, 8, 4)
    network = loaded.network(torch.device("cpu"))
    torch.testing.assert_close(network(x), build_network(small_plan(), 3)(x))
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_a_truncated_file_is_refused(saved: Path, share: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match="a readable model file"):
        load_checkpoint(saved)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a readable model file"):
        load_checkpoint(tmp_path / "none.safetensors")


def test_a_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "sprung",)

    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps({"weights": Trap()}))
    with pytest.raises(DataError, match="a readable model file"):
        load_checkpoint(path)
    torch.save({"weights": Trap()}, path)
    with pytest.raises(DataError, match="a readable model file"):
        load_checkpoint(path)
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_holds_no_pickle(saved: Path) -> None:
    content = saved.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    assert len(content) == 8 + length + max(ends)  # header and numbers, nothing else


def test_weights_of_another_programme_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"layer.weight": torch.zeros(3)}, path, {"format": "pt"})
    with pytest.raises(DataError, match="a Voxloop model, found format None"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "other",
    [
        {"widths": (4, 6)},
        {"stem": (2, 2, 1)},
        {"labels": {"body": 1}},
        {"strides": ((2, 2, 2),)},
    ],
)
def test_weights_that_do_not_fit_the_plan_are_refused(
    tmp_path: Path, other: dict[str, object]
) -> None:
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, Checkpoint(small_plan(), _weights(small_plan(**other)), {}))
    with pytest.raises(DataError, match="weights that fit the plan"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "change",
    [{"plan": "{"}, {"plan": "[]"}, {"plan": None}, {"provenance": "{"}, {"provenance": None}],
)
def test_a_header_that_says_nothing_sensible_is_refused(
    saved: Path, change: dict[str, str | None]
) -> None:
    tensors, header = read_tensors(saved)
    changed = {key: v for key, v in {**header, **change}.items() if v is not None}
    write_tensors(saved, tensors, changed)
    with pytest.raises(DataError, match=r"model\.safetensors: expected"):
        load_checkpoint(saved)
