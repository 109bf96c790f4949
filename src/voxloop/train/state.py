"""The state of a running training, saved so that any moment of death costs seconds only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from voxloop.errors import DataError
from voxloop.model.checkpoint import read_tensors, write_tensors

__all__ = ["TrainingState", "load_newest", "save_state"]

_SLOTS = ("resume-a.safetensors", "resume-b.safetensors")
"""Written in turn: while one is being replaced the other is whole."""


@dataclass(eq=False)
class TrainingState:
    """What the next step depends on; batches and schedule follow from the step alone.

    Attributes:
        network: being trained.
        average: running average of its weights, by name.
        optimizer: AdamW over the network's parameters.
        step: steps done.
        losses: sum and count of losses since the last report.
        skipped: steps without effect because the loss was not finite.
    """

    network: nn.Module
    average: dict[str, Tensor]
    optimizer: torch.optim.AdamW
    step: int = 0
    skipped: int = 0

    def tensors(self) -> dict[str, Tensor]:
        """Everything as named tensors."""
        found = {f"weights.{name}": value for name, value in self.network.state_dict().items()}
        found |= {f"average.{name}": value for name, value in self.average.items()}
        for name, parameter in self.network.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                found[f"optimizer.{key}.{name}"] = value
        return found

    def restore(self, tensors: Mapping[str, Tensor], step: int, skipped: int) -> None:
        """Continue from what `tensors` gave at `step`."""
        self.network.load_state_dict(_under("weights.", tensors))
        for name, value in _under("average.", tensors).items():
            self.average[name].copy_(value)
        for key in ("step", "exp_avg", "exp_avg_sq"):
            saved = _under(f"optimizer.{key}.", tensors)
            for name, parameter in self.network.named_parameters():
                if name in saved:
                    value = saved[name]
                    if key != "step":
                        # in the parameter's layout, as AdamW itself would have made it
                        value = torch.empty_like(parameter, requires_grad=False).copy_(value)
                    self.optimizer.state[parameter][key] = value
        self.step, self.skipped = step, skipped


def save_state(folder: Path, state: TrainingState, identity: str) -> None:
    """Save into the slot that does not hold the newest state.

    Args:
        folder: of the run.
        state: to save.
        identity: of plan, data and configuration; another run's state is never taken for ours.
    """
    newest = _newest_slot(folder, identity)
    slot = _SLOTS[0] if newest != _SLOTS[0] else _SLOTS[1]
    header = {"identity": identity, "step": str(state.step), "skipped": str(state.skipped)}
    write_tensors(folder / slot, state.tensors(), header)


def load_newest(folder: Path, state: TrainingState, identity: str) -> bool:
    """Continue from the newest whole state of this very run; False if there is none."""
    slot = _newest_slot(folder, identity)
    if slot is None:
        return False
    tensors, header = read_tensors(folder / slot)
    state.restore(tensors, int(header["step"]), int(header["skipped"]))
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
