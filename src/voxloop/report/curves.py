"""The picture of what each query strategy reached at which cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voxloop.errors import UsageError
from voxloop.report.picture import GRID, INK, MUTED, new_figure, to_png
from voxloop.volume.labels import LABEL_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Curve", "learning_curve_png"]

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_LOG_RATIO = 12
"""Costs that span more than this are drawn on a logarithmic axis: the first rounds matter most."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One strategy's learning curve, in ascending order of cost.

    Attributes:
        name: the strategy, as the legend names it.
        cost_share: share of the pool's slices that were labelled, above 0 and up to 1.
        dice: mean Dice at each cost, 0 to 1.
        lower: lower ends of the intervals; NaN where there is none.
        upper: upper ends of the intervals; NaN where there is none.

    Raises:
        UsageError: if there is no point, the lengths differ, or the costs do not ascend.
    """

    name: str
    cost_share: tuple[float, ...]
    dice: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def __post_init__(self) -> None:
        lengths = {len(self.cost_share), len(self.dice), len(self.lower), len(self.upper)}
        if len(lengths) > 1 or not self.cost_share:
            raise UsageError(f"curve {self.name!r} needs one or more points, each with an interval")
        ascending = all(a < b for a, b in zip(self.cost_share, self.cost_share[1:], strict=False))
        if not ascending or not 0 < self.cost_share[0] <= self.cost_share[-1] <= 1:
            raise UsageError(
                f"curve {self.name!r} needs ascending cost shares above 0 and up to 1, "
                f"found {self.cost_share}"
            )


def learning_curve_png(curves: Sequence[Curve], *, full_dice: float | None = None) -> bytes:
    """Draw Dice over cost with a band for the interval of each strategy.

    Colour, marker and order in the legend each tell the strategies apart.

    Args:
        curves: one per strategy, at most eight.
        full_dice: Dice with every label, drawn as a line to compare with.

    Raises:
        UsageError: if there are no curves, or more than can be told apart.
    """
    if not 0 < len(curves) <= len(_MARKERS):
        raise UsageError(f"a picture takes 1 to {len(_MARKERS)} curves, found {len(curves)}")
    figure = new_figure(7.2, 4.3)
    axes = figure.add_axes((0.1, 0.135, 0.87, 0.83))
    for curve, colour, marker in zip(curves, LABEL_COLOURS, _MARKERS, strict=False):
        percent = [100 * share for share in curve.cost_share]
        axes.fill_between(percent, curve.lower, curve.upper, color=colour, alpha=0.16, linewidth=0)
        axes.plot(
            percent, curve.dice, color=colour, marker=marker, markersize=5.5, linewidth=2,
            markeredgecolor="white", markeredgewidth=0.8, label=curve.name, zorder=3,
        )  # fmt: skip
    if full_dice is not None:
        label = f"all labels: {full_dice:.3f}"
        axes.axhline(full_dice, color=MUTED, linewidth=1.2, linestyle=(0, (5, 3)), label=label)
    _style(axes, curves)
    return to_png(figure)


def _style(axes: Axes, curves: Sequence[Curve]) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    lowest = min(curve.cost_share[0] for curve in curves)
    highest = max(curve.cost_share[-1] for curve in curves)
    if highest / lowest > _LOG_RATIO:
        axes.set_xscale("log")
        axes.set_xticks([t for t in _log_ticks() if lowest <= t / 100 * 1.001 <= highest * 1.002])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="x", which="minor", length=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.set_xlabel("labelled share of the pool's slices", color=INK, fontsize=10)
    axes.set_ylabel("Dice", color=INK, fontsize=10)
    axes.grid(axis="y", color=GRID, linewidth=0.9)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=9, width=0.8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    axes.legend(loc="lower right", frameon=True, framealpha=0.9, edgecolor="none", fontsize=9.5)


def _log_ticks() -> list[float]:
    return [step * 10.0**power for power in range(-4, 3) for step in (1, 2, 5)]
