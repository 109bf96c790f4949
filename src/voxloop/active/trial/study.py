"""What all campaigns of a comparison share: cases, labels, and the rules they are played by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from voxloop.active.cut import Cut, CutKind
from voxloop.active.strategies.registry import find_strategy
from voxloop.active.trial.mistakes import AnnotatorError
from voxloop.errors import UsageError
from voxloop.train.config import TrainConfig
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume

__all__ = ["LabelledCase", "Rules", "Study"]

_ROUNDS_AT_MOST = 1000


@dataclass(frozen=True, eq=False)
class LabelledCase:
    """A case whose reference is known to the simulation, but not to the strategy.

    Attributes:
        id: the case.
        read: gives the channels.
        reference: gives the reference label map.
        geometry: the case's grid.
        content: names the images' content, for the cache.
    """

    id: str
    read: Callable[[], tuple[Volume, ...]]
    reference: Callable[[], LabelMap]
    geometry: Geometry
    content: str


@dataclass(frozen=True)
class Rules:
    """By which all strategies play alike: equal beginnings, equal budgets, equal training.

    Attributes:
        budgets: regions labelled in all before the first model, and before each later one.
        start: key of the strategy that chooses the first, before there is a model.
        steps: optimiser steps of each training; where None, `minutes` decide, which makes the
            budgets only nearly equal.
        minutes: wall time of each training.
        first_steps: of the first model, where they differ from `steps`.
        full_steps: of the reference model that learns from all labels.
        warm_start: rounds after the first begin with the weights of the round before; if false,
            each begins anew.
        regions: what is asked for.
        side_mm: side of boxes, where boxes are asked for.
        jitter_mm: how far the annotator's outlines stray.
        missed: probability that the annotator overlooks a label in a region.

    Raises:
        UsageError: if they are impossible.
    """

    budgets: tuple[int, ...] = (16, 32, 48, 64)
    start: str = "seed"
    steps: int | None = None
    minutes: float = 1.5
    first_steps: int | None = None
    full_steps: int | None = None
    warm_start: bool = True
    regions: CutKind = "planes"
    side_mm: float = 40.0
    jitter_mm: float = 0.0
    missed: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "budgets", tuple(self.budgets))
        sizes = [b - a for a, b in pairwise((0, *self.budgets))]
        if not 0 < len(sizes) <= _ROUNDS_AT_MOST or min(sizes) < 1:
            raise UsageError(
                f"budgets rise from round to round, one to {_ROUNDS_AT_MOST} of them, found "
                f"{', '.join(map(str, self.budgets)) or 'none'}"
            )
        if find_strategy(self.start).needs_model:
            raise UsageError(f"{self.start} needs a model and cannot choose the first regions")
        if self.first_steps is not None and self.steps is None:
            raise UsageError("first_steps need steps beside them; minutes hold for all rounds")
        _ = self.cut, self.error(0), self.training(0, 0)  # each refuses what it cannot be

    @property
    def rounds(self) -> int:
        """Rounds after the first model."""
        return len(self.budgets) - 1

    def size(self, number: int) -> int:
        """How many regions are asked for before the model of a round."""
        return self.budgets[number] - (self.budgets[number - 1] if number else 0)

    @property
    def cut(self) -> Cut:
        """What a scan is cut into."""
        return Cut(self.regions, self.side_mm)

    def error(self, seed: int) -> AnnotatorError:
        """The annotator's mistakes."""
        return AnnotatorError(self.jitter_mm, self.missed, seed=seed)

    def training(self, seed: int, number: int) -> TrainConfig:
        """Of a round, in a campaign of this seed; no two rounds see the same batches."""
        first = number == 0 and self.first_steps is not None
        return TrainConfig(
            steps=self.first_steps if first else self.steps,
            minutes=self.minutes,
            seed=seed * _ROUNDS_AT_MOST + number,
            warm_start=self.warm_start,
        )

    def full_training(self, seed: int) -> TrainConfig:
        """Of the reference model that learns from all labels."""
        return TrainConfig(steps=self.full_steps, minutes=self.minutes, seed=seed * _ROUNDS_AT_MOST)

    def to_json(self) -> dict[str, Any]:
        """As a JSON-ready document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Rules:
        """Read what `to_json` wrote, or a part of it; the rest is by default.

        Raises:
            UsageError: if there is something unknown, or of another kind, among it.
        """
        known = {field.name: field.default for field in fields(cls)}
        unknown = sorted(set(document) - set(known))
        if unknown:
            raise UsageError(f"unknown rules {', '.join(unknown)}; there are: {', '.join(known)}")
        for name, value in document.items():
            if not _is_possible(name, value):
                raise UsageError(f"the rule {name} cannot be {value!r}; by default {known[name]!r}")
        return cls(**document)


def _is_possible(name: str, value: Any) -> bool:
    """Whether a rule that was read from a file is of the right kind."""
    if name == "budgets":
        return isinstance(value, list | tuple) and all(_is_possible("count", v) for v in value)
    if value is None:
        return name.endswith("steps")
    if name in {"warm_start", "regions", "start"}:
        return isinstance(value, bool if name == "warm_start" else str)
    fractions = name in {"minutes", "missed"} or name.endswith("_mm")
    return isinstance(value, int | float if fractions else int) and not isinstance(value, bool)


@dataclass(frozen=True, eq=False)
class Study:
    """What all campaigns of a comparison share.

    Attributes:
        pool: cases that may be asked for.
        test: cases that are scored, and never asked for.
        labels: the label table.
        channel_names: one per channel.
        folder: of the study; campaigns keep their files below it.
        rules: by which all of them play.
    """

    pool: tuple[LabelledCase, ...]
    test: tuple[LabelledCase, ...]
    labels: LabelTable
    channel_names: tuple[str, ...]
    folder: Path
    rules: Rules = Rules()

    def __post_init__(self) -> None:
        both = {case.id for case in self.pool} & {case.id for case in self.test}
        if both or not self.pool or not self.test:
            raise UsageError(
                f"a study needs pool and test cases, none in both; found {len(self.pool)}, "
                f"{len(self.test)}, and {len(both)} in both"
            )

    @cached_property
    def pool_cases(self) -> dict[str, LabelledCase]:
        """The cases of the pool by id."""
        return {case.id: case for case in self.pool}
