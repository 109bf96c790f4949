"""How good a workspace's models are estimated to be, and on which annotations that rests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from voxloop.train.config import TrainConfig
from voxloop.workspace.documents import read_record
from voxloop.workspace.layout import Layout
from voxloop.workspace.rounds import rounds_of

__all__ = ["Basis", "Estimate", "LabelEstimate", "basis_of", "newest_estimate"]


@dataclass(frozen=True)
class Basis:
    """What a validation is about.

    Attributes:
        round_number: of the newest round with a trained model; of the current one before that.
        annotations: hashes of the revisions that its model learned from; of all there are where
            nothing was trained yet.
        config: of the model's training; the default where nothing was trained yet.
    """

    round_number: int
    annotations: tuple[str, ...]
    config: TrainConfig


@dataclass(frozen=True)
class LabelEstimate:
    """The estimated Dice of one label, or of the mean of labels.

    Attributes:
        name: of the label, or of the mean.
        dice: mean over cases; None where it is undefined in all of them.
        low: lower bound of its 95 % interval, or None.
        high: upper bound, or None.
        cases: with a defined Dice.
        undefined: cases in which neither reference nor prediction show the label.
        note: why there is no interval; empty where there is one.
    """

    name: str
    dice: float | None
    low: float | None
    high: float | None
    cases: int
    undefined: int
    note: str

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> LabelEstimate:
        """Read what `metrics.table.to_rows` made of a summary."""
        numbers = (row[key] for key in ("mean", "low", "high", "cases", "undefined", "note"))
        return cls(row["name"], *numbers)


@dataclass(frozen=True)
class Estimate:
    """What the newest validation said.

    Attributes:
        round_number: the round it belongs to.
        is_current: it rests on what a validation would rest on now.
        labels: each label, then the mean of labels.
    """

    round_number: int
    is_current: bool
    labels: tuple[LabelEstimate, ...]


def basis_of(layout: Layout, current: Sequence[str]) -> Basis:
    """What a validation would be about now.

    Args:
        layout: the workspace.
        current: hashes of all revisions there are.

    Raises:
        DataError: if a record is damaged.
    """
    rounds = rounds_of(layout)
    for record in reversed(rounds):
        path = layout.metrics_file(record.number)
        if path.exists():
            document = read_record(path, lambda content: dict(content["config"]))
            return Basis(record.number, record.annotations, _config(document))
    return Basis(rounds[-1].number if rounds else 0, tuple(current), TrainConfig())


def newest_estimate(layout: Layout, current: Sequence[str]) -> Estimate | None:
    """The newest validation's outcome, or None before the first; arguments as `basis_of`.

    Raises:
        DataError: if a record is damaged.
    """
    numbers = [int(path.parent.name) for path in layout.rounds.glob("[0-9]*/validation.json")]
    if not numbers:
        return None
    basis = basis_of(layout, current)

    def parse(document: Any) -> Estimate:
        pinned = (document["round"], sorted(document["annotations"]))
        return Estimate(
            document["round"],
            pinned == (basis.round_number, sorted(basis.annotations)),
            tuple(LabelEstimate.from_row(row) for row in document["dice"]),
        )

    return read_record(layout.validation_file(max(numbers)), parse)


def _config(document: dict[str, Any]) -> TrainConfig:
    """A configuration as it was written, perhaps by a version that knew other settings."""
    known = {field.name for field in fields(TrainConfig)}
    return TrainConfig(**{key: value for key, value in document.items() if key in known})
