"""The parts of the recipe, each of which an ablation switches off without a flag in the product."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch

from voxloop.plan.plan import Plan
from voxloop.train.augment import Intensity, Spatial
from voxloop.train.config import TrainConfig

__all__ = ["PARTS", "switched_off"]

Adapt = Callable[[Plan], Plan]


def _as_it_is(plan: Plan) -> Plan:
    return plan


@contextlib.contextmanager
def switched_off(parts: tuple[str, ...]) -> Iterator[Adapt]:
    """Switch parts off for the time of a `with` block; gives what is to be done to the plan."""
    with contextlib.ExitStack() as stack:
        changes = [change for part in parts if (change := PARTS[part](stack)) is not None]

        def adapt(plan: Plan) -> Plan:
            for change in changes:
                plan = change(plan)
            return plan

        yield adapt


def _replace(stack: contextlib.ExitStack, target: str, new: Any) -> None:
    stack.enter_context(mock.patch(target, new))


def _no_muon(stack: contextlib.ExitStack) -> Adapt:
    """AdamW for all weights."""

    def only_adam(
        network: torch.nn.Module, config: TrainConfig
    ) -> tuple[torch.optim.Optimizer, ...]:
        groups: list[dict[str, Any]] = [
            {"params": [p for p in network.parameters() if p.ndim > 1]},
            {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        rate, decay = config.learning_rate, config.weight_decay
        return (torch.optim.AdamW(groups, lr=rate, weight_decay=decay),)

    _replace(stack, "voxloop.train.step.build_optimizers", only_adam)
    return _as_it_is


def _no_balance(stack: contextlib.ExitStack) -> Adapt:
    """Voxels count alike in the cross entropy."""
    _replace(stack, "voxloop.train.losses._BALANCE", 0.0)
    return _as_it_is


def _no_average(stack: contextlib.ExitStack) -> Adapt:
    """The last weights, not their running average."""
    default = TrainConfig.__init__.__defaults__ or ()
    names = [field.name for field in dataclasses.fields(TrainConfig)]
    changed = tuple(
        0.0 if name == "average_decay" else value
        for name, value in zip(names, default, strict=True)
    )
    stack.enter_context(mock.patch.object(TrainConfig.__init__, "__defaults__", changed))
    return _as_it_is


def _no_intensity(stack: contextlib.ExitStack) -> Adapt:
    """Intensities are left as they are."""
    _replace(stack, "voxloop.train.patches.draw_intensity", lambda _rng: Intensity())
    return _as_it_is


def _no_spatial(stack: contextlib.ExitStack) -> Adapt:
    """No rotation, zoom or bend."""
    still = Spatial(np.eye(3), np.zeros((3, 5, 5, 5)), ())
    _replace(stack, "voxloop.train.patches.draw_spatial", lambda *_: still)
    return _as_it_is


def _no_extra_deformation(stack: contextlib.ExitStack) -> Adapt:
    """Few cases are deformed no more than many."""
    del stack
    return lambda plan: dataclasses.replace(plan, deformation=1.0)


def _no_mild_deformation(stack: contextlib.ExitStack) -> Adapt:
    """Many cases are deformed as strongly as few."""
    del stack
    return lambda plan: dataclasses.replace(plan, deformation=1.5)


def _no_foreground(stack: contextlib.ExitStack) -> Adapt:
    """Patches are centred anywhere that is annotated."""
    _replace(stack, "voxloop.train.patches._FOREGROUND_SHARE", 0.0)
    return _as_it_is


def _no_body_scale(stack: contextlib.ExitStack) -> Adapt:
    """Masked scans are standardised with their emptiness counted in."""
    _replace(stack, "voxloop.plan.intensities._empty_value", lambda _values, _lowest: None)
    return _as_it_is


def _no_deep_supervision(stack: contextlib.ExitStack) -> Adapt:
    """Only the finest level learns."""
    _replace(stack, "voxloop.train.step._COARSER", 0.0)
    return _as_it_is


def _with_mirroring(stack: contextlib.ExitStack) -> Adapt:
    """Training mirrors along all axes."""
    del stack
    return lambda plan: dataclasses.replace(plan, mirror_axes=(0, 1, 2))


def _cosine(stack: contextlib.ExitStack) -> Adapt:
    """The learning rate falls from the beginning on."""
    _replace(stack, "voxloop.train.schedule._DECAY", 0.95)
    return _as_it_is


PARTS: dict[str, Callable[[contextlib.ExitStack], Adapt]] = {
    "muon": _no_muon,
    "balance": _no_balance,
    "average": _no_average,
    "intensity": _no_intensity,
    "spatial": _no_spatial,
    "extra-deformation": _no_extra_deformation,
    "mild-deformation": _no_mild_deformation,
    "foreground": _no_foreground,
    "deep-supervision": _no_deep_supervision,
    "body-scale": _no_body_scale,
    "plateau": _cosine,
    "sidedness": _with_mirroring,
}
"""What `--without` knows: name to what switches it off."""
