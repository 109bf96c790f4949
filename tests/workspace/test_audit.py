from __future__ import annotations

import json
from pathlib import Path

import pytest

from voxloop.errors import DataError
from voxloop.workspace import audit
from voxloop.workspace.rounds import begin_round
from workspace_samples import make_workspace


def test_every_change_has_its_entry_and_no_path_is_in_it(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    begin_round(workspace.layout, seed=1, strategy="random", annotations=(), actor="eva")
    entries = audit.read_entries(workspace.layout.audit_file)
    assert [(e.number, e.action) for e in entries] == [(1, "init"), (2, "add"), (3, "begin round")]
    assert entries[2].actor == "eva"
    assert str(tmp_path) not in workspace.layout.audit_file.read_text()


@pytest.mark.parametrize("change", ["edit", "remove", "swap"])
def test_a_changed_trail_is_found_out(tmp_path: Path, change: str) -> None:
    workspace = make_workspace(tmp_path, "a")
    begin_round(workspace.layout, seed=1, strategy="random", annotations=())
    path = workspace.layout.audit_file
    assert audit.verify_entries(path) == 3
    lines = path.read_text().splitlines()
    if change == "edit":
        lines[1] = json.dumps({**json.loads(lines[1]), "actor": "somebody else"})
    elif change == "remove":
        del lines[1]
    else:
        lines[0], lines[1] = lines[1], lines[0]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"audit\.jsonl, line [12].*unbroken chain"):
        workspace.verify()


def test_a_line_torn_by_a_crash_is_replaced_by_the_next_entry(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    path = workspace.layout.audit_file
    with path.open("a") as handle:
        handle.write('{"number": 2, "at": "20')
    begin_round(workspace.layout, seed=1, strategy="random", annotations=())
    assert audit.verify_entries(path) == 2


def test_an_entry_is_not_repeated_when_a_change_is_finished_twice(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    entry = audit.next_entry(path, "test", "eva", {"cases": ["ä"]})
    audit.append(path, entry)
    audit.append(path, entry)
    assert audit.read_entries(path) == (entry,)
    audit.withdraw(path, entry)
    assert path.read_bytes() == b""
