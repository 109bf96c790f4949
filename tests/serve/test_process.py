from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest
from server_process import Server, served
from server_samples import TOKEN, slice_box, slice_patch

from voxloop.serve.run import server_for
from voxloop.serve.settings import ServeSettings
from voxloop.workspace.workspace import Workspace
from workspace_samples import GEOMETRY, ask, make_workspace, organ


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Workspace]]:
    workspace = make_workspace(tmp_path_factory.mktemp("process"), "a", "b", "c")
    with served(workspace.root, "--token", TOKEN) as server:
        yield server, workspace


def annotate(server: Server, number: int, turns: int) -> list[str]:
    """Paint columns of one's own, one revision each; gives the hashes that were acknowledged."""
    case_id, acknowledged = "abc"[number % 3], []
    with httpx.Client(base_url=f"{server.url}api/v1/", timeout=60) as client:
        for turn in range(turns):
            array = np.zeros(GEOMETRY.shape, dtype=np.uint8)
            array[number, turn, :] = 1
            body = {"patches": [slice_patch(array, number % 7)]}
            for _ in range(1000):
                try:
                    tag = client.get(f"cases/{case_id}").json()["etag"]
                    answer = client.put(
                        f"cases/{case_id}/annotation",
                        params={"author": f"annotator {number}"},
                        headers={"If-Match": tag},
                        json=body,
                    )
                except (httpx.TransportError, ValueError):
                    time.sleep(0.05)  # the server was killed
                    continue
                if answer.status_code == 200:
                    break
                assert answer.status_code == 409, answer.text
            acknowledged += [revision["sha256"] for revision in answer.json()["stored"]]
    return acknowledged


def test_many_annotators_at_once_lose_and_mix_nothing_even_if_the_server_is_killed(
    running: tuple[Server, Workspace],
) -> None:
    server, workspace = running
    people, turns = 6, 3
    with ThreadPoolExecutor(people) as pool:
        work = [pool.submit(annotate, server, number, turns) for number in range(people)]
        time.sleep(0.7)
        server.kill()
        server.restart()
        acknowledged = [job.result(timeout=120) for job in work]
    found = Workspace.open(workspace.root)
    found.verify()
    revisions = {r.sha256: r for case in "abc" for r in found.annotations_of(case)}
    for number, hashes in enumerate(acknowledged):
        assert len(hashes) >= turns - 1  # one may have been stored but not acknowledged
        for sha256 in hashes:
            assert revisions[sha256].origin.author == f"annotator {number}"
            drawn = np.argwhere(found.load(revisions[sha256]).label_map.array == 1)
            assert set(drawn[:, 0].tolist()) == {number}  # his own, nobody else's


def test_strokes_and_leases_survive_a_kill(running: tuple[Server, Workspace]) -> None:
    server, workspace = running
    ask(workspace, ("a", slice_box(0)), ("b", slice_box(1)))
    stroke, eva = slice_patch(organ(), 3), {"author": "eva"}
    with httpx.Client(base_url=f"{server.url}api/v1/", timeout=60) as client:
        assert client.post("queries/next", params=eva).json()["id"] == "0-1"
        for number in range(5):
            body = {"patches": [stroke], "after": number}
            client.put("cases/a/draft", params=eva, json=body).raise_for_status()
    server.kill()
    server.restart()
    with httpx.Client(base_url=f"{server.url}api/v1/", timeout=60) as client:
        draft = client.get("cases/a/draft", params=eva).json()
        assert (draft["count"], draft["patches"]) == (5, [stroke] * 5)
        assert client.post("queries/next", params={"author": "uli"}).json()["id"] == "0-2"
        assert client.post("queries/next", params=eva).json()["id"] == "0-1"


@contextmanager
def listening(workspace: Workspace, settings: ServeSettings) -> Iterator[int]:
    """The port of a server as `voxloop serve` sets it up, in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        server = server_for(workspace, settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        try:
            yield bound.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(10)


def test_an_interrupted_server_ends_although_a_page_listens(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    with (
        served(workspace.root, "--token", TOKEN) as server,
        httpx.stream("GET", f"{server.url}api/v1/events", timeout=60) as answer,
    ):
        assert next(answer.iter_lines()) == "retry: 2000"
        server.process.send_signal(signal.SIGINT)
        server.process.wait(timeout=60)
        assert server.process.stderr is not None
        assert server.process.stderr.read() == ""


def until_the_end(connection: socket.socket) -> bytes:
    said = b""
    while part := connection.recv(10_000):
        said += part
    return said


def test_heads_that_never_end_are_given_up_and_others_are_served(tmp_path: Path) -> None:
    settings = ServeSettings(token=None, head_timeout_s=1.0)
    with listening(make_workspace(tmp_path, "a"), settings) as port, ExitStack() as held:
        place = ("127.0.0.1", port)
        head = f"GET /api/v1/cases HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        slow = [held.enter_context(socket.create_connection(place, timeout=60)) for _ in range(40)]
        for connection in slow[1:]:  # the first says nothing at all
            connection.sendall(head.encode())
        again = held.enter_context(socket.create_connection(place, timeout=60))
        again.sendall(f"{head}\r\n".encode())
        assert b" 200 " in again.recv(100_000)
        again.sendall(b"GET /api")  # a second request on the same connection
        assert httpx.get(f"http://127.0.0.1:{port}/api/v1/cases", timeout=60).status_code == 200
        began_s = time.monotonic()
        with suppress(OSError):
            for _ in range(100):  # a byte now and then does not help
                slow[2].sendall(b"X")
                time.sleep(0.1)
        assert time.monotonic() - began_s < 9
        assert until_the_end(slow[0]) == b""
        for connection in (slow[1], again):
            assert b" 408 " in until_the_end(connection).split(b"\r\n")[0]
        with socket.create_connection(place, timeout=60) as large:
            large.sendall(head.encode() + b"X-Long: " + bytes(70_000))
            assert b" 400 " in large.recv(1000).split(b"\r\n")[0]


def test_a_slow_body_is_not_taken_for_a_slow_head(tmp_path: Path) -> None:
    settings = ServeSettings(token=None, head_timeout_s=0.5)
    with (
        listening(make_workspace(tmp_path, "a"), settings) as port,
        socket.create_connection(("127.0.0.1", port), timeout=60) as slow,
    ):
        head = (
            "PUT /api/v1/cases/a/annotation?author=eva HTTP/1.1\r\nIf-Match: none\r\n"
            f"Host: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
        )
        slow.sendall(head.encode())
        time.sleep(1.5)
        slow.sendall(b"{}")
        assert b" 422 " in slow.recv(10_000).split(b"\r\n")[0]


def test_a_body_that_stands_still_is_given_up_and_others_are_served(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    settings = ServeSettings(token=None, body_timeout_s=0.5)
    with (
        listening(workspace, settings) as port,
        socket.create_connection(("127.0.0.1", port), timeout=60) as slow,
    ):
        head = (
            "PUT /api/v1/cases/a/annotation?author=eva HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{port}\r\nIf-Match: *\r\nContent-Length: 100000\r\n\r\nabc"
        )
        slow.sendall(head.encode())
        began_s = time.monotonic()
        quick = httpx.get(f"http://127.0.0.1:{port}/api/v1/cases", timeout=60)
        assert quick.status_code == 200
        assert b" 408 " in until_the_end(slow).split(b"\r\n")[0]
        assert time.monotonic() - began_s < 60
    assert not list(workspace.layout.arrivals.glob("*/*"))
