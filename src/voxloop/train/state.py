"""The state of a running training, saved so that any moment of death costs seconds only."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from voxloop.errors import DataError
from voxloop.model.checkpoint import read_tensors, write_tensors
from voxloop.model.unet import UNet

__all__ = ["TrainingState", "load_newest", "save_state"]

_SLOTS = ("resume-a.safetensors", "resume-b.safetensors")
"""Written in turn: while one is being replaced the other is whole."""


@dataclass(eq=False)
class TrainingState:
    """What the next step depends on; batches follow from the step alone.

    Attributes:
        network: being trained.
        average: running average of its weights, by name.
        optimizers: which share the network's parameters among them.
        losses: of every step done; infinite where a step had no effect.
        fall: the step from which the learning rate falls, once that is known.
    """

    network: UNet
    average: dict[str, Tensor]
    optimizers: tuple[torch.optim.Optimizer, ...]
    losses: list[float] = field(default_factory=list)
    fall: int | None = None

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.losses)

    @property
    def skipped(self) -> int:
        """Steps that had no effect because their loss was not finite."""
        return sum(not math.isfinite(loss) for loss in self.losses)

    def tensors(self) -> dict[str, Tensor]:
        """Everything but `fall` as named tensors."""
        found = {f"weights.{name}": value for name, value in self.network.state_dict().items()}
        found |= {f"average.{name}": value for name, value in self.average.items()}
        for name, parameter in self.network.named_parameters():
            for optimizer in self.optimizers:
                for key, value in optimizer.state.get(parameter, {}).items():
                    found[f"optimizer.{key}.{name}"] = value
        found["losses"] = torch.tensor(self.losses, dtype=torch.float64)
        return found

    def restore(self, tensors: Mapping[str, Tensor], fall: int | None) -> None:
        """Continue from what `tensors` gave."""
        self.network.load_state_dict(_under("weights.", tensors))
        for name, value in _under("average.", tensors).items():
            self.average[name].copy_(value)
        owners = {p: o for o in self.optimizers for g in o.param_groups for p in g["params"]}
        parameters = dict(self.network.named_parameters())
        for path, saved in _under("optimizer.", tensors).items():
            key, _, name = path.partition(".")
            parameter = parameters[name]
            # in the parameter's layout, as the optimiser itself would have made it
            value = (
                torch.empty_like(parameter, requires_grad=False).copy_(saved)
                if saved.ndim
                else saved
            )
            owners[parameter].state[parameter][key] = value
        self.losses, self.fall = tensors["losses"].tolist(), fall


def save_state(folder: Path, state: TrainingState, identity: str) -> None:
    """Save into the slot that does not hold the newest state.

    Args:
        folder: of the run.
        state: to save.
        identity: of plan, data and configuration; another run's state is never taken for ours.
    """
    newest = _newest_slot(folder, identity)
    slot = _SLOTS[0] if newest != _SLOTS[0] else _SLOTS[1]
    header = {"identity": identity, "step": str(state.step), "fall": json.dumps(state.fall)}
    write_tensors(folder / slot, state.tensors(), header)


def load_newest(folder: Path, state: TrainingState, identity: str) -> bool:
    """Continue from the newest whole state of this very run; False if there is none."""
    slot = _newest_slot(folder, identity)
    if slot is None:
        return False
    tensors, header = read_tensors(folder / slot)
    state.restore(tensors, json.loads(header["fall"]))
    return True


def _newest_slot(folder: Path, identity: str) -> str | None:
    steps = dict(_steps(folder, identity))
    return max(steps, key=lambda slot: steps[slot]) if steps else None


def _steps(folder: Path, identity: str) -> Iterable[tuple[str, int]]:
    for slot in _SLOTS:
        try:
            _, header = read_tensors(folder / slot)
        except DataError:  # absent, or damaged by the disk: the other slot is the older state
            continue
        if header.get("identity") == identity:
            yield slot, int(header["step"])


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
