"""A benchmark's result file: written after every row, so that a run may be stopped and continued.

The document says which script measured what, with which settings, on which machine; each row names
the commit it was measured at. A run with the same settings on the same machine finds the rows that
are there and measures the rest; delete the file to measure everything anew.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from voxloop.compute.atomic import write_json

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from provenance import commit, machine

__all__ = ["CACHE", "RESULTS", "Ledger", "say"]

_ROOT = Path(__file__).resolve().parents[2]
RESULTS = _ROOT / "benchmarks" / "results"
CACHE = _ROOT / ".cache" / "benchmarks"
"""For scans and short trainings; may be deleted at any time."""

Row = dict[str, Any]


class Ledger:
    """Rows of one benchmark in its file.

    Args:
        path: the JSON file.
        script: path of the script in the repository.
        settings: whatever its numbers depend on, the seed included.
        convention: in words, what the numbers are.
    """

    def __init__(self, path: Path, script: str, settings: Row, convention: str) -> None:
        self.path = path
        head: Row = json.loads(json.dumps({"settings": settings, "machine": machine()}))
        self.document: Row = {"script": script, "convention": convention, **head, "rows": []}
        with contextlib.suppress(OSError, ValueError, KeyError):
            before = json.loads(path.read_text(encoding="utf-8"))
            if all(before[part] == head[part] for part in head):
                self.document["rows"] = before["rows"]

    @property
    def rows(self) -> list[Row]:
        """All rows measured so far, in the order of their measurement."""
        found: list[Row] = self.document["rows"]
        return found

    def row(self, key: Row, measure: Callable[[], Row]) -> Row:
        """The row of this key; measured and written where it is not there yet."""
        key = json.loads(json.dumps(key))
        for row in self.rows:
            if row["key"] == key:
                say(f"{key}: there already")
                return row
        started = time.monotonic()
        found = {"key": key, "commit": commit(), **measure()}
        say(f"{key}: {time.monotonic() - started:.1f} s")
        self.rows.append(found)
        self.write()
        return found

    def write(self, **more: Any) -> None:
        """Write the document, with what is said of all rows together."""
        self.document.update(more)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, self.document)


def say(text: str) -> None:
    """Progress, beside the result."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()
