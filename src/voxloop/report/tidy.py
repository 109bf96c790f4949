"""Tidy rows as files for other programs: CSV for all, Parquet for those who have it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from voxloop.active.trial.results import CampaignRow
from voxloop.compute.atomic import atomic_path, write_text
from voxloop.compute.extras import require

__all__ = ["write_rows_csv", "write_rows_parquet"]

_TYPES = {"int": "int64", "float": "float64", "str": "string", "float | None": "float64"}


def write_rows_csv(path: Path, rows: Sequence[CampaignRow]) -> None:
    """Write rows under a header line, atomically; undefined scores are empty.

    Raises:
        StorageError: if the disk refuses.
    """
    text = io.StringIO()
    names = [column.name for column in fields(CampaignRow)]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_text(path, text.getvalue())


def write_rows_parquet(path: Path, rows: Sequence[CampaignRow]) -> None:
    """Write rows as Parquet, atomically; undefined scores are null.

    Raises:
        MissingExtraError: if pyarrow is not installed.
        StorageError: if the disk refuses.
    """
    arrow = require("pyarrow", feature="the table as Parquet", extra="research")
    parquet = require("pyarrow.parquet", feature="the table as Parquet", extra="research")
    schema = arrow.schema(
        [
            (column.name, getattr(arrow, _TYPES[str(column.type)])())
            for column in fields(CampaignRow)
        ]
    )
    table = arrow.Table.from_pylist([asdict(row) for row in rows], schema=schema)
    with atomic_path(path) as temporary:
        parquet.write_table(table, temporary)
