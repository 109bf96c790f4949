"""One region a person is asked to label, and why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from voxloop.dataset.case import is_valid_case_id
from voxloop.errors import DataError, Problem
from voxloop.volume.boxes import Box

__all__ = ["CONTROL", "Query", "Unit", "ranked"]

CONTROL = "control"
"""What stands for the strategy in a query that was drawn by chance, to compare with."""

Unit = Literal["seconds", "voxels", "regions"]
"""What cost is counted in: seconds of a person's time, or regions where no time was logged.

Voxels are for strategies that count so, and for what earlier versions stored."""


@dataclass(frozen=True)
class Query:
    """A region of a case that is to be labelled next.

    Attributes:
        case_id: the case.
        region: voxels asked for: a slice, a box or the whole volume.
        score: how much it is wanted, finite; higher is asked sooner. Comparable within one
            selection only.
        strategy: key of the strategy that chose it.
        reason: why it was chosen, as a plain sentence.
        cost: what labelling it is expected to take, above zero, in `unit`.
        unit: the currency of `cost`.

    Raises:
        DataError: listing everything that is wrong with the fields.
    """

    case_id: str
    region: Box
    score: float
    strategy: str
    reason: str
    cost: float
    unit: Unit

    def __post_init__(self) -> None:
        checks = (
            (is_valid_case_id(self.case_id), "a valid case id", repr(self.case_id)),
            (min(self.region.start) >= 0, "a region inside the grid", str(self.region)),
            (math.isfinite(self.score), "a finite score", str(self.score)),
            (bool(self.strategy.strip()), "the key of a strategy", repr(self.strategy)),
            (bool(self.reason.strip()), "a reason in words", repr(self.reason)),
            (math.isfinite(self.cost) and self.cost > 0, "a cost above zero", str(self.cost)),
            (self.unit in get_args(Unit), f"a unit of {get_args(Unit)}", repr(self.unit)),
        )
        problems = [
            Problem(f'query for case "{self.case_id}"', expected, found, "ask for queries again")
            for good, expected, found in checks
            if not good
        ]
        if problems:
            raise DataError(problems)

    @property
    def cost_words(self) -> str:
        """The cost as people read it; that a region is one region tells them nothing."""
        return "not known yet" if self.unit == "regions" else f"{self.cost:.0f} {self.unit}"

    def to_json(self) -> dict[str, Any]:
        """The fields by name, the region as start and stop."""
        return asdict(self) | {"region": self.region.to_json()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Query:
        """Read what `to_json` wrote.

        Raises:
            DataError: if a field is missing, unknown or not what it should be.
        """
        try:
            fields = dict(document)
            fields["region"] = Box.from_json(fields["region"])
            fields["score"], fields["cost"] = float(fields["score"]), float(fields["cost"])
            return cls(**fields)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                Problem(
                    "query",
                    f"the fields {list(cls.__dataclass_fields__)}",
                    f"{document!r} ({error})",
                    "ask for queries again",
                )
            ) from error


def ranked(queries: Iterable[Query]) -> tuple[Query, ...]:
    """Highest score first; equal scores stay in the order given."""
    return tuple(sorted(queries, key=lambda query: -query.score))
