"""The catalogue: an SQLite index of a workspace's files, from which it can be rebuilt.

Every row belongs to the file it was read from. Reading compares the files with what was indexed
and brings the catalogue up to date first, so writers need not know of it, a crash between a
file and its row heals itself, and rebuilding runs the same code as daily use.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxloop.errors import DataError, Problem, StorageError
from voxloop.workspace.audit import read_entries
from voxloop.workspace.documents import read_record
from voxloop.workspace.layout import Layout

__all__ = ["SCHEMA_VERSION", "TABLES", "Store", "rebuild"]

SCHEMA_VERSION = 1
"""A catalogue of any other version is thrown away and rebuilt."""

TABLES = ("cases", "annotations", "rounds", "queries", "jobs", "audit")

_SOURCE = "source TEXT NOT NULL REFERENCES sources ON DELETE CASCADE, document TEXT NOT NULL"
_CASE = "case_id TEXT NOT NULL REFERENCES cases DEFERRABLE INITIALLY DEFERRED"
_SCHEMA = f"""
CREATE TABLE sources (path TEXT PRIMARY KEY, size INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL, inode INTEGER NOT NULL) STRICT;
CREATE TABLE cases (id TEXT PRIMARY KEY, {_SOURCE}) STRICT;
CREATE TABLE annotations ({_CASE}, number INTEGER NOT NULL, sha256 TEXT NOT NULL UNIQUE,
    {_SOURCE}, PRIMARY KEY (case_id, number)) STRICT;
CREATE TABLE rounds (number INTEGER PRIMARY KEY, stage TEXT NOT NULL, {_SOURCE}) STRICT;
CREATE TABLE queries (round INTEGER NOT NULL REFERENCES rounds DEFERRABLE INITIALLY DEFERRED,
    number INTEGER NOT NULL, {_CASE}, status TEXT NOT NULL,
    {_SOURCE}, PRIMARY KEY (round, number)) STRICT;
CREATE TABLE jobs (id TEXT PRIMARY KEY, state TEXT NOT NULL, {_SOURCE}) STRICT;
CREATE TABLE audit (number INTEGER PRIMARY KEY, {_SOURCE}) STRICT;
CREATE INDEX of_source_annotations ON annotations (source);
CREATE INDEX of_source_queries ON queries (source);
PRAGMA user_version = {SCHEMA_VERSION};
"""

Row = tuple[str | int, ...]
"""Key columns in the order of the schema; path and document are appended."""


@dataclass(frozen=True)
class _Kind:
    """Files of one sort: where they lie, their table, and the rows they hold."""

    pattern: str
    table: str
    rows: Callable[[Path], Iterable[tuple[Row, Any]]]


def _record(keys: tuple[str, ...]) -> Callable[[Path], Iterable[tuple[Row, Any]]]:
    def rows(path: Path) -> list[tuple[Row, Any]]:
        return [read_record(path, lambda d: (tuple(d[key] for key in keys), d))]

    return rows


def _query_rows(path: Path) -> list[tuple[Row, Any]]:
    def parse(document: Any) -> list[tuple[Row, Any]]:
        return [
            ((document["round"], q["number"], q["query"]["case_id"], q["status"]), q)
            for q in document["queries"]
        ]

    return read_record(path, parse)


def _audit_rows(path: Path) -> list[tuple[Row, Any]]:
    return [((entry.number,), entry.to_json()) for entry in read_entries(path)]


_KINDS = (
    _Kind("images/*/case.json", "cases", _record(("id",))),
    _Kind("annotations/*/*.json", "annotations", _record(("case_id", "number", "sha256"))),
    _Kind("rounds/*/round.json", "rounds", _record(("number", "stage"))),
    _Kind("rounds/*/queries.json", "queries", _query_rows),
    _Kind("jobs/*.json", "jobs", _record(("id", "state"))),
    _Kind("audit.jsonl", "audit", _audit_rows),
)

Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Store:
    """The catalogue of a workspace. Connections last for one call; any process may read.

    Attributes:
        layout: where the files lie.
    """

    layout: Layout

    def documents(self, table: str) -> tuple[Any, ...]:
        """The records of a table, parsed, in the order of their keys.

        Args:
            table: one of `TABLES`.

        Raises:
            DataError: if a file is damaged, or refers to a case or round that is not there.
            StorageError: if the catalogue cannot be written.
        """
        if table not in TABLES:
            message = f"the catalogue has the tables {', '.join(TABLES)}, not {table!r}"
            raise ValueError(message)
        try:
            return self._documents(table)
        except sqlite3.DatabaseError:  # neither the disk nor the files: the catalogue is damaged
            return rebuild(self.layout)._documents(table)  # noqa: SLF001 # of the same class

    def _documents(self, table: str) -> tuple[Any, ...]:
        order = {"annotations": "case_id, number", "queries": "round, number"}.get(table, "1")
        with self._connect() as connection:
            self._refresh(connection)
            found = connection.execute(f"SELECT document FROM {table} ORDER BY {order}")  # noqa: S608 # from TABLES
            return tuple(json.loads(document) for (document,) in found)

    def refresh(self) -> None:
        """Bring the catalogue up to date with the files."""
        with self._connect() as connection:
            self._refresh(connection)

    @contextlib.contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        path = self.layout.catalogue
        try:
            if path.exists() and not _is_current(path):
                _remove(path)
            with contextlib.closing(_open(path)) as connection:
                yield connection
        except sqlite3.IntegrityError as error:
            raise _inconsistent(self.layout, error) from error
        except sqlite3.OperationalError as error:
            message = (
                f"cannot write {path}: {error}; the workspace's files are unchanged; "
                "free some space or choose a writable folder, then run the command again"
            )
            raise StorageError(message) from error

    def _refresh(self, connection: sqlite3.Connection) -> None:
        if _indexed(connection) == {path: stamp for path, (stamp, _) in self._scan().items()}:
            return
        with _transaction(connection):
            # Again, now that no other process can index: an older look must not undo a newer.
            found, known = self._scan(), _indexed(connection)
            for path in known:
                if path not in found or found[path][0] != known[path]:
                    connection.execute("DELETE FROM sources WHERE path = ?", (path,))
            for path, (stamp, kind) in found.items():
                if known.get(path) != stamp:
                    self._index(connection, path, stamp, kind)

    def _index(self, connection: sqlite3.Connection, path: str, stamp: Stamp, kind: _Kind) -> None:
        connection.execute("INSERT INTO sources VALUES (?, ?, ?, ?)", (path, *stamp))
        for keys, document in kind.rows(self.layout.root / path):
            columns = ", ".join("?" * (len(keys) + 2))
            connection.execute(
                f"INSERT INTO {kind.table} VALUES ({columns})",  # noqa: S608 # a table of ours
                (*keys, path, json.dumps(document, ensure_ascii=False)),
            )

    def _scan(self) -> dict[str, tuple[Stamp, _Kind]]:
        root, found = str(self.layout.root), {}
        for kind in _KINDS:
            for path, status in sorted(_matching(root, "", kind.pattern.split("/")), key=_path):
                found[path] = ((status.st_size, status.st_mtime_ns, status.st_ino), kind)
        return found


def _matching(folder: str, path: str, parts: list[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Files by a pattern, as paths from the root; half the time of `Path.glob` and `Path.stat`.

    Left out are somebody's temporary files, which are hidden, and what vanishes meanwhile.

    Args:
        folder: to look in.
        path: that folder's from the root, ending in a slash, or empty.
        parts: the pattern's, each a name or one that a star begins.
    """
    part, *rest = parts
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if not part.startswith("*"):
            place = os.path.join(folder, part)  # noqa: PTH118 # strings, for speed
            if rest:
                yield from _matching(place, f"{path}{part}/", rest)
            else:
                yield path + part, os.stat(place)  # noqa: PTH116 # the same
            return
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.name.endswith(part[1:]):
                    continue
                if rest:
                    yield from _matching(entry.path, f"{path}{entry.name}/", rest)
                else:
                    with contextlib.suppress(FileNotFoundError):
                        yield path + entry.name, entry.stat()


def _path(found: tuple[str, os.stat_result]) -> str:
    return found[0]


def rebuild(layout: Layout) -> Store:
    """Throw the catalogue away and index all files anew."""
    _remove(layout.catalogue)
    store = Store(layout)
    store.refresh()
    return store


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    if not _has_schema(connection):
        with _transaction(connection):
            if not _has_schema(connection):  # another process may have been quicker
                for statement in filter(str.strip, _SCHEMA.split(";")):
                    connection.execute(statement)
    return connection


def _has_schema(connection: sqlite3.Connection) -> bool:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return bool(version)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _indexed(connection: sqlite3.Connection) -> dict[str, Stamp]:
    rows = connection.execute("SELECT path, size, modified_ns, inode FROM sources")
    return {path: (size, modified_ns, inode) for path, size, modified_ns, inode in rows}


def _is_current(path: Path) -> bool:
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            return version in {0, SCHEMA_VERSION}
    except sqlite3.OperationalError:
        return True  # busy or forbidden, which says nothing against its content
    except sqlite3.DatabaseError:
        return False


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _inconsistent(layout: Layout, error: sqlite3.IntegrityError) -> DataError:
    return DataError(
        Problem(
            f"workspace {layout.root}",
            "annotations and queries of cases and rounds that are in the workspace, each once",
            str(error),
            "restore the missing images/<case>/case.json or rounds/<n>/round.json from a backup",
        )
    )
