"""JSON records of a workspace, read with an error that says which file is damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from voxloop.errors import DataError, Problem, VoxloopError

__all__ = ["read_document", "read_record"]

Record = TypeVar("Record")


def read_document(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        DataError: if it cannot be read or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error


def read_record(path: Path, parse: Callable[[Any], Record]) -> Record:
    """Parse a JSON file into a record.

    Args:
        path: the file.
        parse: makes the record of the document; may raise KeyError, TypeError or ValueError.

    Raises:
        DataError: if the file cannot be read or `parse` refuses its content.
    """
    document = read_document(path)
    try:
        return parse(document)
    except VoxloopError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        Problem(
            str(path),
            "a record as Voxloop writes it",
            f"{type(error).__name__}: {error}",
            "restore the file from a backup",
        )
    )
