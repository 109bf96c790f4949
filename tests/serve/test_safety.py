from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from server_samples import TOKEN, nifti, serving, slice_patch

from voxloop.errors import UsageError
from voxloop.serve.settings import ServeSettings
from workspace_samples import make_workspace, organ

ANY = {"If-Match": "*"}
EVA = {"author": "eva"}
ROOT = "http://127.0.0.1:8571"
API = f"/t/{TOKEN}/api/v1"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Path]]:
    folder = tmp_path_factory.mktemp("serve")
    workspace = make_workspace(folder, "a")
    (workspace.root / "secret.txt").write_text("secret")
    with serving(workspace, max_body_bytes=200_000, max_json_bytes=50_000) as client:
        yield client, folder


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "lab.example.org"])  # noqa: S104
def test_only_this_computer_may_come_in_without_a_token(host: str) -> None:
    with pytest.raises(UsageError, match="only this computer"):
        ServeSettings(host=host, token=None)
    assert ServeSettings(host=host).base_path.startswith("/t/")


def test_tokens_are_random_long_and_not_shown() -> None:
    one, other = ServeSettings(), ServeSettings()
    assert one.token != other.token
    assert len(str(one.token)) >= 32
    assert str(one.token) not in repr(one)
    with pytest.raises(UsageError, match="16 to 200"):
        ServeSettings(token="short")  # noqa: S106


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/v1/cases",
        "/t/",
        "/t//api/v1/cases",
        f"/t/{TOKEN[:-1]}/api/v1/cases",
        f"/t/{TOKEN}x/api/v1/cases",
        f"/x/t/{TOKEN}/api/v1/cases",
        "/t/wrong-token-0123456789/api/v1/cases",
        "/t/%C3%A9/api/v1/cases",
    ],
)
def test_nobody_comes_in_without_the_token(server: Any, path: str) -> None:
    answer = server[0].get(ROOT + path)
    assert answer.status_code == 401
    assert TOKEN not in answer.text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8571", 200),
        ("localhost:9000", 200),
        ("[::1]:8571", 200),
        ("LOCALHOST", 200),
        ("evil.example:8571", 421),
        ("127.0.0.1.evil.example", 421),
        ("10.0.0.7:8571", 421),
        ("", 421),
    ],
)
def test_other_hosts_are_refused(server: Any, host: str, status: int) -> None:
    answer = server[0].get("cases", headers={"Host": host})
    assert answer.status_code == status


def test_addresses_and_given_names_are_fine_where_the_network_may_come_in() -> None:
    settings = ServeSettings(host="0.0.0.0", names=("lab.example.org",))  # noqa: S104
    assert settings.answers_to("10.0.0.7")
    assert settings.answers_to("lab.example.org")
    assert not settings.answers_to("evil.example")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_pages_of_other_sites_can_neither_write_nor_read(
    server: Any, headers: dict[str, str]
) -> None:
    client, _ = server
    body = {"patches": [slice_patch(organ(), 3)]}
    written = client.put("cases/a/annotation", params=EVA, headers={**ANY, **headers}, json=body)
    assert written.status_code == 403
    assert client.get("cases", headers=headers).status_code == 403
    assert client.get("cases/a/revisions").json() == {"revisions": []}


def test_the_servers_own_page_and_a_link_from_a_mail_may_come_in(server: Any) -> None:
    client, _ = server
    own = {"Origin": ROOT, "Sec-Fetch-Site": "same-origin"}
    assert client.post("queries/next", params=EVA, headers=own).status_code == 204
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert client.get("cases", headers=link).status_code == 200
    assert client.post("queries/next", params=EVA, headers=link).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "cases/..%2F..%2Fsecret.txt",
        "cases/%2Fetc%2Fpasswd",
        "cases/../../secret.txt/image",
        "cases/a%00/image",
        "cases/a..b/image",
        "cases/.hidden/image",
        "cases/nobody/image",
        "set-aside/..%2Fsecret",
        "set-aside/20250101000000000-00000000",
        "jobs/..%2F..%2Fsecret",
        "jobs/20250101000000000-0000",
        "../../../secret.txt",
        "../../..%2Fsecret.txt",
    ],
)
def test_ids_are_never_paths(server: Any, path: str) -> None:
    answer = server[0].get(f"{ROOT}{API}/{path}")
    assert 400 <= answer.status_code < 500
    assert "secret" not in answer.text.replace("secret.txt", "")


def test_bodies_that_are_too_large_are_refused_before_they_are_read(server: Any) -> None:
    client, _ = server
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        while read < 10_000_000:
            read += 50_000
            yield bytes(50_000)

    request: dict[str, Any] = {"params": EVA, "headers": ANY}
    assert client.put("cases/a/annotation", content=bytes(300_000), **request).status_code == 413
    assert client.put("cases/a/annotation", content=endless(), **request).status_code == 413
    text = {"Content-Type": "application/json", **ANY}
    large = b'{"patches": [' + b" " * 60_000 + b"]}"
    refused = client.put("cases/a/annotation", content=large, params=EVA, headers=text)
    assert refused.status_code == 413
    packed = {"Content-Encoding": "gzip", **ANY}
    body = gzip.compress(bytes(1000))
    refused = client.put("cases/a/annotation", content=body, params=EVA, headers=packed)
    assert refused.status_code == 415


def test_a_bomb_is_refused_by_its_header_or_cut_off(server: Any) -> None:
    client, _ = server
    header = bytearray(gzip.decompress(nifti(organ()))[:352])
    bombs = {"more than the header says": bytes(header) + bytes(20_000_000)}
    header[40:56] = np.array([3, 2000, 2000, 2000, 1, 1, 1, 1], dtype="<i2").tobytes()
    bombs["a header that wants gigabytes"] = bytes(header) + bytes(20_000_000)
    for name, content in bombs.items():
        packed = gzip.compress(content, 9)
        assert len(packed) < 200_000
        answer = client.put("cases/a/annotation", content=packed, params=EVA, headers=ANY)
        assert answer.status_code == 422, name


@pytest.mark.parametrize(
    "rle", [[1, 10**9], [0, 1], [300, 120], [0, 0], [0, -5, 1, 125], [1], [2, 10**30]]
)
def test_runs_that_do_not_fill_their_box_are_refused(server: Any, rle: list[int]) -> None:
    client, _ = server
    patch = {"start": [0, 0, 3], "stop": [10, 12, 4], "rle": rle}
    for method, path in (("PUT", "cases/a/annotation"), ("PUT", "cases/a/draft")):
        answer = client.request(method, path, params=EVA, headers=ANY, json={"patches": [patch]})
        assert answer.status_code == 422, path


def test_replies_name_no_folder_and_allow_no_other_host(server: Any) -> None:
    client, folder = server
    for path in ("cases", "cases/a", "server", "dashboard", "jobs", "rounds", "queries"):
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        assert str(folder) not in answer.text
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert not re.search(r"https?:|\*|unsafe", policy)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in answer.headers
    refused = client.get("cases", headers={"Host": "evil.example"})
    assert refused.headers["content-security-policy"] == policy


def test_a_bug_of_ours_is_confessed_without_details(
    server: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client, folder = server

    def fail(*_: Any) -> None:
        raise RuntimeError(f"cannot read {folder}")

    monkeypatch.setattr("voxloop.serve.routers.cases._open_queries", fail)
    answer = client.get("cases")
    assert answer.status_code == 500
    assert str(folder) not in answer.text
    assert "RuntimeError" in caplog.text
    assert str(folder) not in caplog.text
    assert answer.json()["number"] in caplog.text


def test_the_log_has_neither_token_nor_ids(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="voxloop.serve"):
        server[0].get("cases/a/image", params={"start": 0, "stop": 1})
    assert "/cases/{case_id}/image 200" in caplog.text
    assert TOKEN not in "".join(r.getMessage() for r in caplog.records if r.name == "voxloop.serve")


def test_a_scan_that_was_changed_is_not_shown_and_its_folder_not_named(tmp_path: Path) -> None:
    folder = tmp_path / "Miller, John"
    workspace = make_workspace(folder, "a")
    with (folder / "scans" / "a.nii.gz").open("ab") as handle:
        handle.write(b"x")
    with serving(workspace) as client:
        answer = client.get("cases/a/image")
        assert answer.status_code == 422
        assert "Miller" not in answer.text
        assert "Miller" not in client.get("dashboard").text


def test_the_description_of_the_api_is_complete(server: Any) -> None:
    document = server[0].get("openapi.json").json()
    assert document["openapi"].startswith("3.1")
    operations = [each for item in document["paths"].values() for each in item.values()]
    of_plugins = [each for each in operations if each["tags"] == ["MONAI Label"]]
    assert {path for path in document["paths"] if not path.startswith("/api/v1/")} >= {
        "/info/", "/activelearning/{strategy}", "/infer/{model}", "/train/", "/session/",
        "/datastore/", "/datastore/image", "/datastore/label",
    }  # fmt: skip
    assert len(of_plugins) > 15
    assert len(operations) - len(of_plugins) > 30
    assert len({each["operationId"] for each in operations}) == len(operations)
    assert all("4XX" in operation["responses"] for operation in operations)
    assert all(operation["summary"] for operation in operations)
    text = json.dumps(document)
    for reference in set(re.findall(r'"#/components/schemas/(\w+)"', text)):
        assert reference in document["components"]["schemas"]
    assert "#/$defs" not in text
