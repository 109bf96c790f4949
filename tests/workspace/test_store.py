from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from voxloop.errors import DataError
from voxloop.volume.boxes import Box
from voxloop.workspace.actions.checked_delivery import CollectOptions
from voxloop.workspace.actions.collect import collect
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.jobs import running_job
from voxloop.workspace.store import SCHEMA_VERSION, TABLES, rebuild
from voxloop.workspace.workspace import Workspace
from workspace_samples import GEOMETRY, ask, content, deliver, make_workspace, organ


@pytest.fixture
def used(tmp_path: Path) -> Workspace:
    """A workspace with something in every table."""
    workspace = make_workspace(tmp_path, "a", "b")
    ask(workspace, ("a", Box.slice_at(GEOMETRY.shape, 2, 3)), ("b", Box.whole(GEOMETRY.shape)))
    options = CollectOptions(looked_at=LookedAt.QUERIES, seconds=12.5)
    collect(workspace, deliver(tmp_path / "drawn", "a", organ()), options)
    with running_job(workspace.layout, "train"):
        pass
    return workspace


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return sorted(connection.iterdump())


def test_a_deleted_catalogue_is_rebuilt_with_identical_content(used: Workspace) -> None:
    documents = {table: used.store.documents(table) for table in TABLES}
    assert all(documents.values())
    before = dump(used.layout.catalogue)
    rebuild(used.layout)
    assert dump(used.layout.catalogue) == before
    used.layout.catalogue.unlink()
    assert {table: used.store.documents(table) for table in TABLES} == documents


@pytest.mark.parametrize("damage", ["garbage", "torn page", "other schema"])
def test_a_damaged_catalogue_is_replaced_without_a_word(used: Workspace, damage: str) -> None:
    before = content(used)
    path = used.layout.catalogue
    if damage == "garbage":
        path.write_bytes(b"no database at all" * 100)
    elif damage == "torn page":
        path.write_bytes(path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096))
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 7}")
            connection.commit()
    assert content(used) == before


def test_an_annotation_of_a_case_that_is_gone_is_reported(used: Workspace) -> None:
    shutil.rmtree(used.layout.image_folder("a"))
    with pytest.raises(DataError, match=r"restore the missing images/<case>/case\.json"):
        used.cases()


def test_a_damaged_record_is_named(used: Workspace) -> None:
    path = used.layout.revision_file("a", 1)
    path.write_text('{"case_id": "a"}')
    with pytest.raises(DataError, match=r"annotations/a/0001\.json.*restore the file"):
        used.store.documents("annotations")
