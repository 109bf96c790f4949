from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from voxloop.errors import DataError, StorageError
from voxloop.workspace.staging import Commit, open_staging
from voxloop.workspace.workspace import Workspace
from workspace_samples import content, deliver, make_workspace, organ, write_scans

KILLER = Path(__file__).with_name("killed_at_every_step.py")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def create(commit: Commit, workspace: Workspace, *names: str) -> None:
    for name in names:
        commit.create_json(workspace.root / name, {"name": name})


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder that lies in memory where there is such a disk: hundreds of flushes are waited for
    in vain, since a killed process loses nothing that it has written."""
    memory = Path("/dev/shm")  # noqa: S108 # a folder of our own is made in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.mark.parametrize("action", ["add", "collect"])
def test_a_change_killed_at_any_file_operation_is_whole_or_absent(
    in_memory: Path, action: str
) -> None:
    workspace = make_workspace(in_memory, "a", "b")
    workspace.cases()
    for case_id in ("a", "b"):
        deliver(in_memory / "drawn", case_id, organ())
    write_scans(in_memory / "scans2", "new1", "new2")
    run = subprocess.run(
        [sys.executable, str(KILLER), str(in_memory), action],
        env={**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    outcomes = json.loads(run.stdout)
    assert outcomes["nothing"] > 20
    assert outcomes["whole"] > 5


def test_a_new_file_never_replaces_one_and_its_whole_change_is_dropped(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    before = content(workspace)
    with (
        pytest.raises(DataError, match="never overwrites"),
        open_staging(workspace.layout) as staging,
        staging.commit("test", "") as commit,
    ):
        create(commit, workspace, "new.json", "deep/new.json", "voxloop.toml")
    assert content(workspace) == before


def test_a_disk_that_refuses_half_way_takes_the_whole_change_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace(tmp_path)
    before = content(workspace)
    link = os.link

    def refuse_second(source: Path, target: Path) -> None:
        if target.name == "2.json":
            raise OSError(28, "No space left on device", str(target))
        link(source, target)

    monkeypatch.setattr("os.link", refuse_second)
    with (
        pytest.raises(StorageError, match=r"2\.json.*nothing was saved"),
        open_staging(workspace.layout) as staging,
        staging.commit("test", "") as commit,
    ):
        create(commit, workspace, "deep/1.json", "deep/2.json")
    assert content(workspace) == before
    assert not (workspace.root / "deep").exists()


def test_a_disk_without_hard_links_serves_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("os.link", unknown)
    workspace = make_workspace(tmp_path, "a")
    assert [record.id for record in workspace.cases()] == ["a"]
    assert workspace.verify() == 0
