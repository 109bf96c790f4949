"""Text as solid letters."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

from voxloop.compute.extras import require
from voxloop.errors import UsageError
from voxloop.mesh.shop.solid import kernel

__all__ = ["letters"]

_FONT = Path("fonts", "ttf", "DejaVuSans-Bold.ttf")
_CAPITAL_EM = 0.729
"""Height of the font's capitals over its size; its stems are a quarter of that height."""

_FINE = 100.0
"""Size at which outlines are flattened: curves come out within a hundredth of the size."""


def letters(text: str, height_mm: float) -> Any:
    """The outline of a line of text, centred on the origin, as a cross-section in millimetres.

    Args:
        text: one line.
        height_mm: of capitals.

    Raises:
        UsageError: if the text is empty, has several lines, or characters the font has not.
        MissingExtraError: if matplotlib or Manifold is not installed.
    """
    line = unicodedata.normalize("NFC", text).strip()
    font = _font()
    if not line:
        raise UsageError("a plate needs a text")
    strange = [c for c in line if not c.isprintable() or font.get_char_index(ord(c)) == 0]
    if strange:
        named = ", ".join(f"U+{ord(c):04X}" for c in dict.fromkeys(strange))
        raise UsageError(f"the plate's text has characters that cannot be drawn: {named}")
    textpath = require("matplotlib.textpath", feature="lettering", extra="report")
    properties = require("matplotlib.font_manager", feature="lettering", extra="report")
    drawn = textpath.TextPath(
        (0, 0), line.replace("$", r"\$"), size=_FINE,  # else `$` would begin a formula
        prop=properties.FontProperties(fname=_font_file()),
    )  # fmt: skip
    scale = height_mm / (_CAPITAL_EM * _FINE)
    outlines = [np.ascontiguousarray(scale * outline[:-1]) for outline in drawn.to_polygons()]
    library = kernel()
    section = library.CrossSection(outlines, library.FillRule.NonZero)
    left, bottom, right, top = section.bounds()
    return section.translate((-(left + right) / 2, -(bottom + top) / 2))


def _font_file() -> Path:
    # by its file, since a search for fonts takes seconds and depends on the machine
    return Path(require("matplotlib", feature="lettering", extra="report").get_data_path(), _FONT)


def _font() -> Any:
    return require("matplotlib.ft2font", feature="lettering", extra="report").FT2Font(_font_file())
