"""The query strategies by key: what commands, files and experiments name them by."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from itertools import product
from pathlib import Path
from types import ModuleType

from voxloop.active.doubt.acquisition import (
    expected_entropy,
    least_confidence,
    margin,
    mutual_information,
    predictive_entropy,
    variance,
    vote_entropy,
)
from voxloop.active.doubt.displacement import mean_displacement_mm, surface_displacement
from voxloop.active.doubt.ranking import ScoreRanking
from voxloop.active.doubt.scorer import DiceScorer, Scorer, VoxelScorer
from voxloop.active.strategies.context import Strategy
from voxloop.active.strategies.coverage import CoverRegions
from voxloop.active.strategies.foreground import ForegroundRandom
from voxloop.active.strategies.gradient import GradientRegions
from voxloop.active.strategies.seed import SeedSet
from voxloop.active.strategies.strided import StridedSlices
from voxloop.active.strategies.suggestive import SuggestiveRegions
from voxloop.active.strategies.typical import TypicalRegions
from voxloop.active.strategies.uncertain import UncertainRegions
from voxloop.active.strategies.uniform import RandomSlices
from voxloop.errors import UsageError

__all__ = ["SCORERS", "STRATEGIES", "find_strategy", "needs_members"]

SCORERS: dict[str, Scorer] = {
    "entropy": VoxelScorer("mean entropy", "nats", predictive_entropy),
    "least_confidence": VoxelScorer("mean lack of confidence", "", least_confidence),
    "margin": VoxelScorer("mean closeness of the runner-up", "", margin),
    "displacement": VoxelScorer(
        "surfaces expected to be off by",
        "mm",
        surface_displacement,
        telling=mean_displacement_mm,
    ),
    "expected_entropy": VoxelScorer("mean entropy of members", "nats", expected_entropy),
    "bald": VoxelScorer("mean mutual information", "nats", mutual_information, needs_members=True),
    "variance": VoxelScorer("mean variance of members", "", variance, needs_members=True),
    "votes": VoxelScorer("mean entropy of votes", "nats", vote_entropy, needs_members=True),
    "dice": DiceScorer(),
}
"""What doubt can be: key to scorer."""

_RANKINGS: dict[str, tuple[ScoreRanking, float]] = {
    "": (ScoreRanking(), 0.0),
    "_power": (ScoreRanking("power"), 0.0),
    "_softrank": (ScoreRanking("softrank"), 0.0),
    "_class": (ScoreRanking("power", 1.0, 100.0), 2 / 3),
}
"""How it becomes a choice: ending of the key to ranking, and share of queries by label."""

_ALL: tuple[Strategy, ...] = (
    RandomSlices(),
    StridedSlices(),
    ForegroundRandom(),
    ForegroundRandom(1 / 3, 1 / 3, key="outline_random"),
    SeedSet(),
    CoverRegions(),
    TypicalRegions(),
    CoverRegions("coreset", "network"),
    GradientRegions("badge", SCORERS["entropy"]),
    SuggestiveRegions("suggestive", SCORERS["entropy"]),
    SuggestiveRegions("hybrid", SCORERS["entropy"], young=1.0),
    *(
        UncertainRegions(f"{name}{ending}", scorer, ranking, by_label)
        for (name, scorer), (ending, (ranking, by_label)) in product(
            SCORERS.items(), _RANKINGS.items()
        )
    ),
)

STRATEGIES: dict[str, Strategy] = {strategy.key: strategy for strategy in _ALL}
"""Key to strategy, with its default settings."""


def find_strategy(key: str) -> Strategy:
    """The strategy registered as `key`, or one of the caller's own.

    Args:
        key: a key of `STRATEGIES`; or `module:name` or `file.py:name`, where the name is a
            strategy or a class of strategies that needs no arguments.

    Raises:
        UsageError: if there is none, naming the nearest, or what it lacks.
    """
    if key in STRATEGIES:
        return STRATEGIES[key]
    if ":" in key:
        return _load(key)
    near = difflib.get_close_matches(key, STRATEGIES, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UsageError(f"unknown strategy {key!r}; {hint}there are: {', '.join(STRATEGIES)}")


def needs_members(strategy: Strategy) -> bool:
    """True if a strategy says nothing with a single member; its own attribute, False without."""
    return bool(getattr(strategy, "needs_members", False))


def _load(key: str) -> Strategy:
    place, _, name = key.rpartition(":")
    try:
        found = getattr(_module(place), name)
    except (ImportError, OSError, AttributeError) as error:
        raise UsageError(f"no strategy at {key!r}: {error}") from error
    strategy = found() if isinstance(found, type) else found
    missing = [a for a in ("key", "needs_model", "query") if not hasattr(strategy, a)]
    if missing:
        raise UsageError(
            f"{key!r} is no strategy: it lacks {', '.join(missing)}; see docs/how-to/"
            "write-a-strategy.md"
        )
    if strategy.key in STRATEGIES or not str(strategy.key).isidentifier():
        raise UsageError(
            f"the strategy at {key!r} calls itself {strategy.key!r}; a key of one's own is a new "
            "name of letters, digits and underscores"
        )
    return strategy  # type: ignore[no-any-return] # what it has was checked above


def _module(place: str) -> ModuleType:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = Path(place).resolve()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look their own module up
    spec.loader.exec_module(module)
    return module
