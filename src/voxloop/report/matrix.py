"""The picture of every pair of strategies: how far apart, and whether chance explains it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from voxloop.errors import UsageError
from voxloop.report.picture import INK, MUTED, new_figure, to_png

__all__ = ["difference_matrix_png"]

_CELL_IN = 0.78, 0.5
_LETTER_IN = 0.078
_AHEAD, _BEHIND = (0.0, 0.35, 0.56), (0.80, 0.33, 0.07)
_PALE, _FULL = 0.14, 0.85


def difference_matrix_png(
    names: Sequence[str], cells: Sequence[Sequence[tuple[float, float]]], level: float
) -> bytes:
    """Draw differences between all pairs, rows against columns.

    Blue is ahead, orange is behind; a sign and a number say the same in every cell.

    Args:
        names: of rows and columns.
        cells: (K, K) pairs of difference (0 to 1, row minus column) and corrected p; NaN where
            there is none.
        level: p values below it are drawn in full colour.

    Raises:
        UsageError: if the cells are not as many as pairs of names.
    """
    count = len(names)
    if not count or len(cells) != count or any(len(row) != count for row in cells):
        raise UsageError(f"a matrix of {count} names needs {count} rows and columns")
    left_in = 0.2 + _LETTER_IN * max(map(len, names))
    # slanted names overhang the cells to the right and above
    over_in = max(0.0, 0.77 * (left_in - 0.2) - _CELL_IN[0] / 2)
    width = left_in + count * _CELL_IN[0] + over_in + 0.1
    height = 0.3 + 0.64 * left_in + count * _CELL_IN[1]
    figure = new_figure(width, height)
    box = (left_in / width, 0.1 / height, count * _CELL_IN[0] / width, count * _CELL_IN[1] / height)
    axes = figure.add_axes(box, xlim=(0, count), ylim=(count, 0))
    for row, line in enumerate(cells):
        for column, (difference, p) in enumerate(line):
            _draw_cell(axes, (row, column), difference, p, level)
    middles = [k + 0.5 for k in range(count)]
    axes.set_yticks(middles, names, fontsize=9, color=INK)
    axes.set_xticks(middles, names, fontsize=9, color=INK, rotation=40, ha="left",
                    rotation_mode="anchor")  # fmt: skip
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False, pad=4)
    axes.spines[:].set_visible(False)
    return to_png(figure)


def _draw_cell(
    axes: object, place: tuple[int, int], difference: float, p: float, level: float
) -> None:
    from matplotlib.axes import Axes
    from matplotlib.patches import Rectangle

    if not isinstance(axes, Axes):
        raise TypeError(type(axes).__name__)
    row, column = place
    if math.isnan(difference):
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor="#f5f7fa", edgecolor="white"))
        return
    sure = p < level
    colour = _AHEAD if difference > 0 else _BEHIND
    shade = (*colour, _FULL if sure else _PALE)
    axes.add_patch(
        Rectangle((column, row), 1, 1, facecolor=shade, edgecolor="white", linewidth=1.5)
    )
    ink = "white" if sure else INK
    signed = f"{100 * difference:+.2f}".replace("-", "\u2212")
    axes.text(
        column + 0.5, row + 0.4, signed, color=ink, fontsize=9.5,
        ha="center", va="center", fontweight="bold" if sure else "normal",
    )  # fmt: skip
    said = "no test" if math.isnan(p) else ("p < 0.001" if p < 0.001 else f"p {p:.3f}")
    axes.text(
        column + 0.5, row + 0.75, said, color=ink if sure else MUTED, fontsize=6.5,
        ha="center", va="center",
    )  # fmt: skip
