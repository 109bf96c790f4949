"""What is known of a case is added up once, however many processes and threads ask for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxloop.dataset.annotation import Target
from voxloop.errors import DataError
from voxloop.volume.labels import IGNORE
from voxloop.workspace import annotations as module
from voxloop.workspace.actions.checked_delivery import CollectOptions
from voxloop.workspace.actions.collect import collect
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.sums import Sums
from voxloop.workspace.workspace import Workspace
from workspace_samples import GEOMETRY, LABELS, deliver, make_workspace

REVISIONS = 12


def _drawn(workspace: Workspace, folder: Path, *numbers: int) -> None:
    for number in numbers:
        array = np.full(GEOMETRY.shape, IGNORE, dtype=np.uint8)
        array.flat[[number, number + 40]] = 1, 1 if number % 2 else 2
        options = CollectOptions(
            looked_at=LookedAt.MARKED,
            asked=("liver",) if number % 2 else None,
        )
        collect(workspace, deliver(folder / str(number), "a", array), options)


@pytest.fixture
def drawn(tmp_path: Path) -> Workspace:
    workspace = make_workspace(tmp_path, "a")
    _drawn(workspace, tmp_path, *(3 * n for n in range(REVISIONS)))
    return workspace


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """Forget all sums, as a new process; gives the revisions that are loaded from then on."""
    load = module.load

    def begin() -> list[int]:
        loaded: list[int] = []

        def counted(layout: Any, revision: Any, labels: Any) -> Any:
            loaded.append(revision.number)
            return load(layout, revision, labels)

        monkeypatch.setattr(module, "load", counted)
        monkeypatch.setattr(module, "SUMS", Sums())
        return loaded

    return begin


def _same(one: Target, other: Target) -> None:
    np.testing.assert_array_equal(one.values, other.values)
    looked_for = [
        [target.asked_sets[index] for index in target.asked.ravel()] for target in (one, other)
    ]
    assert looked_for[0] == looked_for[1]


def test_sums_keep_to_their_room_and_the_one_unused_longest_goes_first() -> None:
    shape = (4, 5, 3)
    step = ("hash", 1, 1)
    sums = Sums(room_bytes=2 * 2 * 60)
    for name in ("one", "two", "one", "three"):  # `one` grows in between, as cases do
        sums.keep(("here", name, LABELS), [step], Target.empty(shape, LABELS))
    known = [sums.longest(("here", n, LABELS), [step], shape)[0] for n in ("one", "two", "three")]
    assert known == [1, 0, 1]


def test_another_process_reads_the_sum_and_adds_what_is_new(
    drawn: Workspace, anew: Callable[[], list[int]], tmp_path: Path
) -> None:
    assert anew() == []
    whole = drawn.target_of("a")
    loaded = anew()
    _same(drawn.target_of("a"), whole)
    assert loaded == []
    _drawn(drawn, tmp_path, 1, 2)
    loaded = anew()
    more = drawn.target_of("a")
    assert loaded == [REVISIONS + 1, REVISIONS + 2]
    drawn.layout.sum_file("a").unlink()
    loaded = anew()
    _same(drawn.target_of("a"), more)
    assert len(loaded) == REVISIONS + 2


@pytest.mark.parametrize(
    "harm",
    [
        lambda content: content[: len(content) // 2],
        lambda _: b"",
        lambda content: b"PK\x03\x04" + content[4:200][::-1] + content[200:],
        lambda content: content.replace(b"values", b"valued"),
    ],
)
def test_a_damaged_sum_is_made_again(
    drawn: Workspace, anew: Callable[[], list[int]], harm: Callable[[bytes], bytes]
) -> None:
    anew()
    whole = drawn.target_of("a")
    file = drawn.layout.sum_file("a")
    file.write_bytes(harm(file.read_bytes()))
    loaded = anew()
    _same(drawn.target_of("a"), whole)
    assert len(loaded) == REVISIONS
    loaded = anew()
    drawn.target_of("a")
    assert loaded == [], "the sum was written again"


def test_a_sum_of_another_grid_is_not_unpacked(
    drawn: Workspace, anew: Callable[[], list[int]]
) -> None:
    anew()
    whole = drawn.target_of("a")
    file = drawn.layout.sum_file("a")
    with np.load(file) as kept:
        parts = dict(kept)
    parts["values"] = np.zeros((300, 300, 300), np.uint8)
    np.savez_compressed(file, **parts)
    loaded = anew()
    _same(drawn.target_of("a"), whole)
    assert len(loaded) == REVISIONS


def test_a_sum_does_not_hide_that_a_revision_was_changed(
    drawn: Workspace, anew: Callable[[], list[int]]
) -> None:
    anew()
    drawn.target_of("a")
    path = drawn.layout.revision_map("a", 2)
    path.write_bytes(drawn.layout.revision_map("a", 3).read_bytes())
    anew()
    with pytest.raises(DataError, match="another content"):
        drawn.target_of("a")


def test_threads_that_ask_at_once_wait_for_one_sum(
    drawn: Workspace, anew: Callable[[], list[int]]
) -> None:
    drawn.layout.sum_file("a").unlink(missing_ok=True)
    loaded = anew()
    found: list[Target] = []
    threads = [
        threading.Thread(target=lambda: found.append(drawn.target_of("a"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(loaded) == list(range(1, REVISIONS + 1))
    for target in found:
        _same(target, found[0])
