"""What a user may decide about inference: quality for time, engine, memory, uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from voxloop.compute.memory import GIB
from voxloop.errors import UsageError
from voxloop.predict.engines.choose import ENGINE_NAMES

__all__ = ["QUALITIES", "InferenceOptions", "QualityWord"]

QualityWord = Literal["fast", "default", "best"]

QUALITIES: tuple[QualityWord, ...] = get_args(QualityWord)
"""From quick to careful."""


@dataclass(frozen=True, slots=True)
class InferenceOptions:
    """How scans are segmented; every model can be used with all of them.

    Attributes:
        quality: how much time is given for accuracy.
        engine: what runs the network, one of `ENGINE_NAMES`.
        memory_bytes: the most that may be held; what needs more is refused beforehand.
        uncertainty: whether a map of it is wanted as well.
        estimate: whether the quality of each result is predicted where a model is calibrated.
        cache: folder for what engines compile; may be deleted at any time.

    Raises:
        UsageError: if a word is unknown or the memory is not positive.
    """

    quality: QualityWord = "default"
    engine: str = "auto"
    memory_bytes: int = 4 * GIB
    uncertainty: bool = False
    estimate: bool = True
    cache: Path | None = None

    def __post_init__(self) -> None:
        for what, word, known in (
            ("quality", self.quality, QUALITIES),
            ("engine", self.engine, ENGINE_NAMES),
        ):
            if word not in known:
                raise UsageError(f"unknown {what} {word!r}: choose one of {', '.join(known)}")
        if self.memory_bytes <= 0:
            raise UsageError(f"the memory must be more than nothing, not {self.memory_bytes} bytes")

    def to_json(self) -> dict[str, Any]:
        """As a JSON-ready document; where the cache lies changes no result."""
        return {
            "quality": self.quality,
            "engine": self.engine,
            "memory_bytes": self.memory_bytes,
            "uncertainty": self.uncertainty,
            "estimate": self.estimate,
        }
