"""What a report consists of, before it is given a form."""

from __future__ import annotations

from dataclasses import dataclass, field

from voxloop.errors import UsageError

__all__ = ["Block", "Figure", "Report", "Section", "Table", "Text"]

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph of plain text."""

    paragraph: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings; the first column names the row.

    Attributes:
        caption: what the table shows, and the convention of its numbers.
        header: headings of the columns.
        rows: cells, as many per row as there are headings.

    Raises:
        UsageError: if a row is longer or shorter than the header.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.header) for row in self.rows):
            raise UsageError(f"table {self.caption!r} needs {len(self.header)} cells in every row")


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture.

    Attributes:
        png: the picture as PNG.
        alt: what is to be seen, for those who cannot see it; not empty.
        caption: the line below the picture.

    Raises:
        UsageError: if the picture is no PNG or the description is empty.
    """

    png: bytes = field(repr=False)
    alt: str
    caption: str = ""

    def __post_init__(self) -> None:
        if not self.png.startswith(_PNG):
            raise UsageError(f"the picture {self.alt!r} is not a PNG")
        if not self.alt.strip():
            raise UsageError("a figure needs a description of what is to be seen")


Block = Text | Table | Figure


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """One document.

    Attributes:
        title: its name.
        provenance: name and value of everything that made the numbers: versions, seeds, hashes.
        sections: the content, in reading order.
    """

    title: str
    provenance: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
