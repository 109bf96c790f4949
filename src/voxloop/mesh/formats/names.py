"""Names of structures as parts of file names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

__all__ = ["file_stems"]

_UNSAFE = re.compile(r"[^A-Za-z0-9.]+")
_LONGEST = 60
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def file_stems(names: Sequence[str]) -> tuple[str, ...]:
    """For each name one that any file system takes, each once also where case is ignored.

    Accents are taken off letters, everything but letters, digits and dots becomes a hyphen, and
    what is left is cut to 60 characters; a name of which nothing is left becomes `part`.
    """
    taken: set[str] = set()
    stems = []
    for name in names:
        plain = stem = _plain(name)
        number = 2
        while stem.lower() in taken:
            stem, number = f"{plain}-{number}", number + 1
        taken.add(stem.lower())
        stems.append(stem)
    return tuple(stems)


def _plain(name: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    stem = _UNSAFE.sub("-", ascii_only).strip("-.")[:_LONGEST].rstrip("-.") or "part"
    return f"part-{stem}" if _RESERVED.match(stem) else stem
