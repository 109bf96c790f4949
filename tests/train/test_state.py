"""The saved state of a training: whole, the newest, and of this run only."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from plans import small_plan
from voxloop.model.unet import build_network
from voxloop.train.config import TrainConfig
from voxloop.train.state import TrainingState, load_newest, save_state
from voxloop.train.step import build_optimizers


def _state(seed: int = 0) -> TrainingState:
    network = build_network(small_plan(), seed)
    average = {name: value.clone() for name, value in network.state_dict().items()}
    return TrainingState(
        network, average, build_optimizers(network, TrainConfig(learning_rate=0.1))
    )


def _learn(state: TrainingState, steps: int) -> None:
    for _ in range(steps):
        x = torch.randn(1, 1, 8, 8, 4, generator=torch.Generator().manual_seed(state.step))
        for optimizer in state.optimizers:
            optimizer.zero_grad()
        state.network(x).square().mean().backward()
        for optimizer in state.optimizers:
            optimizer.step()
        for name, value in state.network.state_dict().items():
            state.average[name].lerp_(value, 0.3)
        state.losses.append(1.0 / state.step if state.step else math.inf)


def _assert_equal(one: TrainingState, other: TrainingState) -> None:
    assert (one.losses, one.fall) == (other.losses, other.fall)
    ours, theirs = one.tensors(), other.tensors()
    assert ours.keys() == theirs.keys()
    for kind in ("momentum", "exp_avg_sq"):
        assert any(name.startswith(f"optimizer.{kind}.") for name in ours) == (one.step > 0)
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name
        assert value.stride() == theirs[name].stride(), name


@pytest.mark.parametrize("steps", [0, 3])
def test_a_restored_state_goes_on_as_if_nothing_had_happened(tmp_path: Path, steps: int) -> None:
    state, restored = _state(), _state(seed=1)
    _learn(state, steps)
    state.fall = 2
    save_state(tmp_path, state, "run")
    assert load_newest(tmp_path, restored, "run")
    _assert_equal(restored, state)
    _learn(state, 4)
    _learn(restored, 4)
    _assert_equal(restored, state)


def test_the_newest_of_two_states_is_taken_and_the_older_kept(tmp_path: Path) -> None:
    state = _state()
    for expected in (1, 2, 3, 4, 5):
        _learn(state, 1)
        save_state(tmp_path, state, "run")
        restored = _state(seed=1)
        assert load_newest(tmp_path, restored, "run")
        assert restored.step == expected
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_damaged_state_falls_back_to_the_one_before(tmp_path: Path, share: float) -> None:
    state = _state()
    for _ in range(3):
        _learn(state, 1)
        save_state(tmp_path, state, "run")
    newest = max(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    content = newest.read_bytes()
    newest.write_bytes(content[: int(len(content) * share)])
    restored = _state(seed=1)
    assert load_newest(tmp_path, restored, "run")
    assert restored.step == 2
    save_state(tmp_path, state, "run")  # goes where the damaged one lies
    assert load_newest(tmp_path, restored, "run")
    assert restored.step == 3


def test_the_state_of_another_run_is_never_continued(tmp_path: Path) -> None:
    state = _state()
    assert not load_newest(tmp_path, state, "run")
    _learn(state, 1)
    save_state(tmp_path, state, "another run")
    fresh = _state(seed=1)
    before = {name: value.clone() for name, value in fresh.tensors().items()}
    assert not load_newest(tmp_path, fresh, "run")
    assert all(torch.equal(value, before[name]) for name, value in fresh.tensors().items())
