"""How estimates of quality are worded, wherever they are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voxloop.cli.result import Table

if TYPE_CHECKING:  # numpy, which `voxloop --help` can do without
    from voxloop.workspace.estimate import Estimate, LabelEstimate

__all__ = ["dice_words", "estimate_table"]


def dice_words(label: LabelEstimate) -> str:
    """The Dice with its interval, or with the reason for having none."""
    if label.dice is None:
        return "undefined"
    if label.low is None or label.high is None:
        return f"{label.dice:.3f} ({label.note})"
    return f"{label.dice:.3f} [{label.low:.3f}, {label.high:.3f}]"


def estimate_table(estimate: Estimate) -> Table:
    """Each label's Dice as estimated, for a person to read."""
    outdated = "" if estimate.is_current else ", out of date"
    rows = tuple(
        (label.name, dice_words(label), label.cases, label.undefined) for label in estimate.labels
    )
    return Table(
        f"on cases left out, by annotated voxels (round {estimate.round_number}{outdated})",
        ("label", "Dice [95 % interval]", "cases", "undefined"),
        rows,
    )
