"""MONAI Label's published client, unmodified, against a real server."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("fastapi", reason="the server is not installed: pip install 'voxloop[serve]'")

from plugin_samples import ASKED, GEOMETRY, LABELS, foresee, make_study, reference, served

from voxloop.io.formats import read_geometry, write_label_map, write_volume
from voxloop.serve.monailabel import inference
from voxloop.serve.monailabel.wire import ASKED_SEGMENT
from voxloop.volume.labels import IGNORE
from voxloop.volume.volume import LabelArray, LabelMap, Volume
from voxloop.workspace.leases import leases_of
from voxloop.workspace.proposals import predicted
from voxloop.workspace.set_aside import all_set_aside
from voxloop.workspace.workspace import Workspace

# the client leaves its sockets to the garbage collector
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

TOKEN = "a-token-of-more-than-sixteen-signs"  # noqa: S105 # of these tests only
NAMES = tuple(LABELS.names.values())
Connect = Callable[[], Any]


@pytest.fixture(scope="session")
def client_class() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports cgi, which Python 3.13 no longer has
        client = pytest.importorskip(
            "monailabel.client", reason="pip install --no-deps -r requirements/clients.txt"
        )
    return client.MONAILabelClient


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_study(tmp_path)


@pytest.fixture
def address(workspace: Workspace) -> Iterator[str]:
    with served(workspace, TOKEN) as url:
        yield url


@pytest.fixture
def connect(address: str, client_class: Any, tmp_path: Path) -> Connect:
    """A fresh client for each call, as the plugin makes them."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    return lambda: client_class(address, str(folder), "dr-a")


def submitted(folder: Path, array: LabelArray, order: Sequence[str] = NAMES) -> Path:
    """What the plugin exports: value k is the k-th segment."""
    numbers = np.zeros(256, dtype=np.uint8)
    for number, name in enumerate(order, start=1):
        if name in LABELS.by_name:
            numbers[LABELS.by_name[name]] = number
    path = folder / "exported.nii.gz"
    nib.save(nib.Nifti1Image(numbers[array], GEOMETRY.matrix), path)
    return path


def info_of(order: Sequence[str]) -> dict[str, Any]:
    """`idx` counts hidden segments as well, which is what must not be gone by."""
    return {"label_info": [{"name": n, "idx": k + 2} for k, n in enumerate(order)]}


def voxels(path: Path | str) -> LabelArray:
    return np.array(sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T)


def without_model(workspace: Workspace) -> None:
    for path in workspace.layout.rounds.rglob("*.safetensors"):
        path.unlink()


def only(array: LabelArray, *slices: int) -> LabelArray:
    kept = np.full(array.shape, IGNORE, dtype=np.uint8)
    kept[..., list(slices)] = array[..., list(slices)]
    return kept


@pytest.mark.parametrize("token", [TOKEN, None], ids=["token", "no token"])
def test_a_session_from_connect_to_the_next_sample(
    workspace: Workspace, client_class: Any, tmp_path: Path, token: str | None
) -> None:
    foresee(workspace, "two", reference(1))
    with served(workspace, token) as url:

        def client() -> Any:
            return client_class(url, str(tmp_path), "dr-a")

        assert not client().auth_enabled()
        info = client().info()
        assert info["labels"] == list(NAMES)
        assert info["models"]["voxloop"]["labels"] == list(NAMES)
        assert "config" not in info
        assert (info["datastore"]["total"], info["datastore"]["completed"]) == (3, 1)
        stats = next(iter(info["train_stats"].values()))
        assert stats["epoch"] < stats["total_epochs"]
        assert isinstance(stats["best_metric"], float)

        sample = client().next_sample("queries", {})
        assert (sample["id"], "path" in sample) == ("two", False)
        assert [q["words"] for q in sample["queries"]] == ["slice k = 4", "slice k = 6"]
        assert "label-k4-k6" in sample["name"]
        image = f"{url}/datastore/image?image={sample['id']}"
        with urllib.request.urlopen(image) as reply:  # noqa: S310 # loopback, as the plugin does
            content = reply.read()
            assert int(reply.headers["Content-Length"]) == len(content)
        assert sample["checksum"] == f"SHA256:{hashlib.sha256(content).hexdigest()}"
        scan = tmp_path / sample["name"]
        scan.write_bytes(content)
        assert read_geometry(scan).difference(GEOMETRY) is None

        path, params = client().infer("voxloop", sample["id"], {"result_extension": ".nrrd"})
        assert params["label_names"] == list(NAMES)
        expected = np.searchsorted([0, 2, 5, 9], reference(1))
        assert np.array_equal(voxels(path), expected)
        assert read_geometry(Path(path)).difference(GEOMETRY) is None

        array = reference(1)
        array[..., [4, 6]] = reference()[..., [4, 6]]
        label = submitted(tmp_path, array)
        reply = client().save_label(sample["id"], str(label), params=info_of(NAMES))
        assert (reply["answered"], reply["warnings"]) == ([1, 2], [])
        assert client().info()["datastore"]["completed"] == 2
        assert client().next_sample("queries", {})["id"] == "three"
    assert np.array_equal(workspace.target_of("two").values, only(reference(), 4, 6))
    (revision,) = workspace.annotations_of("two")
    assert (revision.origin.author, revision.origin.tool) == ("dr-a", "monai-label")


def test_every_order_of_segments_means_the_same(
    workspace: Workspace, connect: Connect, tmp_path: Path
) -> None:
    extra = ("Segment_1", *NAMES)
    for shift, order in enumerate(itertools.permutations(extra)):
        if shift % 4 == 0:
            array = reference(shift % 5)
            label = submitted(tmp_path, array, order)
            connect().save_label("two", str(label), "final", info_of(order))
            known = workspace.target_of("two").values
            assert np.array_equal(known[..., [4, 6]], array[..., [4, 6]])


def test_a_label_that_is_not_among_the_segments_is_not_said_to_be_absent(
    workspace: Workspace, connect: Connect, tmp_path: Path
) -> None:
    array = np.zeros(GEOMETRY.shape, dtype=np.uint8)
    array[..., 4:7:2] = np.where(reference() == 5, 0, reference())[..., 4:7:2]
    order = ("gallbladder", "liver")
    label = submitted(tmp_path, array, order)
    reply = connect().save_label("two", str(label), params=info_of(order))
    assert reply["warnings"] == ["spleen: not among the segments, so that nothing is known of it"]
    (revision,) = workspace.annotations_of("two")
    assert revision.asked == {"liver": 2, "gallbladder": 9}


def test_what_was_not_asked_for_is_reported_kept_and_not_looked_at(
    workspace: Workspace, connect: Connect, tmp_path: Path
) -> None:
    foresee(workspace, "three", reference(1))
    connect().infer("voxloop", "three", {})
    array = reference(1)
    array[..., 5] = reference()[..., 5]
    array[0:2, 0:3, 8] = 5
    label = submitted(tmp_path, array)
    reply = connect().save_label("three", str(label), params=info_of(NAMES))
    assert "6 voxels were changed outside of what was asked for" in reply["warnings"][0]
    assert np.array_equal(workspace.target_of("three").values, only(reference(), 5))
    (kept,) = all_set_aside(workspace.layout)
    assert kept.id == reply["kept"]


def test_the_original_labels_show_where_to_draw(
    workspace: Workspace, connect: Connect, tmp_path: Path
) -> None:
    foresee(workspace, "two", reference(1))
    listed = connect().datastore()["objects"]["two"]["labels"]["original"]
    names = listed["info"]["params"]["label_names"]
    assert names == {"liver": 1, "spleen": 2, "gallbladder": 3, ASKED_SEGMENT: 4}
    path = connect().download_label("two", "original")
    array = voxels(path)
    assert np.array_equal(np.flatnonzero((array == 4).any(axis=(0, 1))), [4, 6])
    assert np.array_equal(
        np.where(array == 4, 0, array), np.searchsorted([0, 2, 5, 9], reference(1))
    )
    order = tuple(names)
    nib.save(nib.Nifti1Image(array, GEOMETRY.matrix), tmp_path / "back.nii.gz")
    reply = connect().save_label("two", str(tmp_path / "back.nii.gz"), params=info_of(order))
    assert reply["warnings"] == []
    assert np.array_equal(workspace.target_of("two").values, only(reference(1), 4, 6))


def _mirrored(folder: Path) -> Path:
    array = reference(1)
    array[..., 5] = reference()[..., 5]
    return submitted(folder, array[::-1])


def _moved(folder: Path) -> Path:
    path = submitted(folder, reference())
    matrix = GEOMETRY.matrix.copy()
    matrix[:3, 3] += matrix[:3, 2]
    nib.save(nib.Nifti1Image(voxels(path), matrix), folder / "moved.nii.gz")
    return folder / "moved.nii.gz"


def _stranger(folder: Path) -> Path:
    array = voxels(submitted(folder, reference()))
    array[0, 0, 0] = 7
    nib.save(nib.Nifti1Image(array, GEOMETRY.matrix), folder / "stranger.nii.gz")
    return folder / "stranger.nii.gz"


def _garbage(folder: Path) -> Path:
    (folder / "garbage.nii.gz").write_bytes(b"\x1f\x8b" + bytes(200))
    return folder / "garbage.nii.gz"


@pytest.mark.parametrize(
    ("spoil", "order", "reason"),
    [
        (_mirrored, NAMES, "mirrored along axis 0"),
        (_moved, NAMES, r"shifted by \+1 voxels along axis 2"),
        (_stranger, NAMES, r"1 voxels of no segment \(value 7\)"),
        (_garbage, NAMES, "cut off or corrupted"),
        (lambda folder: submitted(folder, reference(), ("Tumour", "spleen", "liver")),
         ("tumour", "spleen", "livver"), "livver.*rename it to .*liver"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_refused_with_the_reason_and_kept(
    workspace: Workspace, connect: Connect, tmp_path: Path, *,
    spoil: Callable[[Path], Path], order: tuple[str, ...], reason: str,
) -> None:  # fmt: skip
    foresee(workspace, "three", reference(1))
    connect().infer("voxloop", "three", {})
    sent = spoil(tmp_path)
    with pytest.raises(Exception, match=rf"(?s)Status: 422.*{reason}"):
        connect().save_label("three", str(sent), params=info_of(order))
    assert workspace.annotations_of("three") == ()
    (kept,) = all_set_aside(workspace.layout)
    stored = workspace.layout.set_aside / f"{kept.id}{kept.suffix}"
    assert stored.read_bytes() == sent.read_bytes()


def test_a_scan_as_a_whole_counts_wherever_it_was_looked_at(
    workspace: Workspace, connect: Connect, tmp_path: Path
) -> None:
    sample = connect().next_sample("whole_scan", {})
    assert sample["id"] == "three~whole"
    reply = connect().save_label(
        sample["id"], str(submitted(tmp_path, reference())), params=info_of(NAMES)
    )
    assert reply["answered"] == []
    assert np.array_equal(workspace.target_of("three").values, reference())


def test_two_people_are_not_given_the_same_slices(
    workspace: Workspace, address: str, client_class: Any, tmp_path: Path
) -> None:
    def next_of(name: str) -> Any:
        return client_class(address, str(tmp_path), name).next_sample("queries", {}).get("id")

    assert [next_of("a"), next_of("b"), next_of("c")] == ["two", "three", None]
    assert next_of("a") == "two"
    latest = workspace.current_round()
    assert latest is not None
    assert {n: lease.author for n, lease in leases_of(workspace.layout, latest.number).items()} == {
        1: "a", 2: "a", 3: "b",
    }  # fmt: skip


def test_an_uploaded_scan_becomes_a_case_and_a_session_does_not(
    workspace: Workspace, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = tmp_path / "patient name.nii.gz"
    noise = np.random.default_rng(9).normal(size=GEOMETRY.shape)
    write_volume(scan, Volume((reference() + noise).astype(np.float32), GEOMETRY))
    assert connect().upload_image(str(scan), "../vol 7") == {"image": "vol_7"}
    assert connect().upload_image(str(scan), "vol_7") == {"image": "vol_7"}
    other = tmp_path / "other.nii.gz"
    write_volume(other, Volume(noise.astype(np.float32), GEOMETRY))
    with pytest.raises(Exception, match="Status: 409"):
        connect().upload_image(str(other), "vol_7")
    session = connect().create_session(str(scan))["session_id"]
    assert connect().get_session(session)["path"] == ""
    sent: list[tuple[str, ...]] = []

    def instead(_task: object, order: tuple[str, tuple[str, ...], str]) -> str:
        sent.append(tuple(hashlib.sha256(Path(f).read_bytes()).hexdigest() for f in order[1]))
        path = Path(order[2]) / "scan.nii.gz"
        write_label_map(path, LabelMap(reference(2), GEOMETRY, LABELS))
        return str(path)

    monkeypatch.setattr(inference, "_apart", instead)
    path, _ = connect().infer("voxloop", "", {}, session_id=session)
    with_file, _ = connect().infer("voxloop", "", {"result_extension": ".nii"}, file=str(scan))
    for file in (path, with_file):
        assert np.array_equal(voxels(file), np.searchsorted([0, 2, 5, 9], reference(2)))
    assert set(sent) == {(hashlib.sha256(scan.read_bytes()).hexdigest(),)}
    connect().remove_session(session)
    with pytest.raises(Exception, match="Status: 404"):
        connect().get_session(session)
    assert [case.id for case in workspace.cases()] == ["one", "three", "two", "vol_7"]


@pytest.mark.slow
def test_the_model_says_the_same_here_as_on_the_command_line(
    client_class: Any, tmp_path: Path
) -> None:
    workspace = make_study(tmp_path, train_steps=2)
    with served(workspace) as url:
        path, _ = client_class(url, str(tmp_path)).infer("voxloop", "two", {})
        scan = workspace.layout.root / workspace.case("two").channels[0][1].path
        session = client_class(url, str(tmp_path)).create_session(str(scan))["session_id"]
        other, _ = client_class(url, str(tmp_path)).infer("voxloop", "", {}, session_id=session)
    expected = predicted(workspace, workspace.case("two"))
    assert expected is not None
    for file in (path, other):
        assert np.array_equal(voxels(file), np.searchsorted([0, 2, 5, 9], expected.array))


def test_training_starts_reports_and_stops_before_it_answers(
    workspace: Workspace, connect: Connect
) -> None:
    without_model(workspace)
    assert not connect().train_status(check_if_running=True)
    with pytest.raises(Exception, match="Status: 404"):
        connect().train_status()
    assert connect().train_stop() is None
    for model in ("voxloop", ""):  # right after a stop: as the plugin does after each submission
        assert connect().train_start(model, {"minutes": "30"})["status"] == "RUNNING"
        assert connect().train_status(check_if_running=True)
        assert connect().train_status()["status"] == "RUNNING"
        with pytest.raises(Exception, match="Status: 429"):
            connect().train_start("voxloop", {})
        stopped = connect().train_stop()
        assert (stopped["status"], bool(stopped["details"][-1])) == ("STOPPED", True)
        assert not connect().train_status(check_if_running=True)


def test_what_the_plugin_asks_all_the_time_is_cheap_while_it_trains(
    workspace: Workspace, connect: Connect
) -> None:
    without_model(workspace)
    connect().train_start("voxloop", {"minutes": "30"})
    try:
        took_s = []
        for _ in range(10):
            started = time.perf_counter()
            assert not connect().auth_enabled()
            assert connect().train_status(check_if_running=True)
            took_s.append((time.perf_counter() - started) / 2)
        assert np.median(took_s) < 0.25  # 50 ms where nothing else runs; tests share a core
    finally:
        connect().train_stop()


def test_replies_are_whole_and_never_chunked(workspace: Workspace, address: str) -> None:
    foresee(workspace, "two", reference(1))
    split = urlsplit(address)
    for method, path, status in (
        ("GET", "/info/", 200),
        ("GET", "/auth/", 404),
        ("GET", "/train/", 404),
        ("DELETE", "/train/", 200),
        ("GET", "/datastore/", 200),
        ("HEAD", "/datastore/image?image=two&check_sum=x", 200),
        ("GET", "/datastore/image?image=two", 200),
        ("GET", "/datastore/label?label=one&tag=final", 200),
        ("GET", "/datastore/label?label=two&tag=final", 404),
        ("POST", "/infer/voxloop?image=two", 200),
        ("GET", "/datastore/image?image=..%2F..%2Fetc%2Fpasswd", 404),
        ("PUT", "/datastore/label?image=nobody", 422),
    ):
        connection = http.client.HTTPConnection(str(split.hostname), split.port or 80)
        connection.request(method, f"{split.path}{path}")
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        assert reply.status == status, (path, content[:300])
        assert reply.getheader("Transfer-Encoding") is None
        if method != "HEAD":
            assert int(reply.getheader("Content-Length") or -1) == len(content), path
        assert str(workspace.root).encode() not in content


def test_bare_voxels_go_by_their_index(workspace: Workspace, address: str) -> None:
    array = np.zeros(GEOMETRY.shape, dtype=np.uint8)
    array[reference() == 5] = 3
    array[reference() == 2] = 1
    info = {"label_info": [{"name": "spleen", "idx": 3}, {"name": "liver", "idx": 1}]}
    part = "--xyz\r\nContent-Disposition: form-data; name="
    body = b"".join(
        (
            f'{part}"params"\r\n\r\n{json.dumps(info)}\r\n'.encode(),
            f'{part}"label"; filename="label.bin"\r\n\r\n'.encode(),
            array.tobytes(order="F"),
            b"\r\n--xyz--\r\n",
        )
    )
    request = urllib.request.Request(  # noqa: S310 # loopback
        f"{address}/datastore/label?image=two", body, method="PUT",
        headers={"Content-Type": "multipart/form-data; boundary=xyz"},
    )  # fmt: skip
    with urllib.request.urlopen(request) as reply:  # noqa: S310
        assert json.load(reply)["answered"] == [1, 2]
    expected = np.where(reference() == 9, 0, reference()).astype(np.uint8)
    assert np.array_equal(workspace.target_of("two").values, only(expected, *ASKED["two"]))


def test_a_wrong_token_opens_nothing(
    workspace: Workspace, address: str, client_class: Any, tmp_path: Path
) -> None:
    wrong = address.replace(TOKEN, TOKEN[::-1])
    with pytest.raises(Exception, match="Status: 401"):
        client_class(wrong, str(tmp_path)).info()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{wrong}/datastore/image?image=two")  # noqa: S310
    assert workspace.annotations_of("two") == ()
