from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from server_samples import nifti, propose, read_nifti, serving, slice_box, slice_patch, stand_in

from phantoms import oblique_geometry
from voxloop.io.formats import write_label_map
from voxloop.report.outcome import CaseOutcome
from voxloop.volume.geometry import FloatArray
from voxloop.volume.runs import Patch
from voxloop.volume.volume import LabelMap
from voxloop.workspace.actions.checked_delivery import CollectOptions
from voxloop.workspace.actions.collect import collect
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.workspace import Workspace
from workspace_samples import GEOMETRY, LABELS, ask, make_workspace, organ

EVA = {"author": "eva"}


def put(client: httpx.Client, tag: str, **body: Any) -> httpx.Response:
    return client.put("cases/a/annotation", params=EVA, headers={"If-Match": tag}, **body)


def test_patches_become_a_revision_voxel_by_voxel(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    drawn = organ()
    with serving(workspace) as client:
        body = {"patches": [slice_patch(drawn, 3), slice_patch(drawn, 4)]}
        answer = client.put(
            "cases/a/annotation",
            params={**EVA, "seconds": 12.5, "proposal": "0" * 64},
            headers={"If-Match": '"none"'},
            json=body,
        )
        assert answer.status_code == 200, answer.text
        (stored,) = answer.json()["stored"]
        assert (stored["author"], stored["tool"], stored["seconds"]) == ("eva", "page", 12.5)
        assert stored["proposal"] == "0" * 64
        assert answer.headers["etag"] == f'"{stored["sha256"]}"'
        known, _ = read_nifti(client.get("cases/a/annotation").content)
    expected = np.full(GEOMETRY.shape, 255, dtype=np.uint8)
    expected[..., 3:5] = drawn[..., 3:5]
    assert np.array_equal(known, expected)
    assert np.array_equal(workspace.target_of("a").values, expected)


def test_a_stale_write_is_refused_and_stores_nothing(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    with serving(workspace) as client:
        first = put(client, "none", json={"patches": [slice_patch(organ(), 3)]})
        stale = put(client, "none", json={"patches": [slice_patch(organ(), 2)]})
        assert stale.status_code == 409
        assert stale.json()["etag"] == first.json()["etag"]
        assert len(workspace.annotations_of("a")) == 1
        without = client.put("cases/a/annotation", params=EVA, json={})
        assert without.status_code in {422, 428}
        again = put(client, first.headers["etag"], json={"patches": [slice_patch(organ(), 2)]})
        assert again.status_code == 200
        assert len(workspace.annotations_of("a")) == 2


def test_rest_and_command_line_store_the_same(tmp_path: Path) -> None:
    by_rest = make_workspace(tmp_path / "rest", "a")
    by_hand = make_workspace(tmp_path / "hand", "a")
    with serving(by_rest) as client:
        answer = client.put(
            "cases/a/annotation",
            params={**EVA, "looked_at": "labelled-slices"},
            headers={"If-Match": "*"},
            content=nifti(organ()),
        )
        assert answer.status_code == 200, answer.text
    (tmp_path / "a.nii.gz").write_bytes(nifti(organ()))
    collect(by_hand, tmp_path / "a.nii.gz", CollectOptions(LookedAt.LABELLED_SLICES, author="eva"))
    (one,), (other,) = by_rest.annotations_of("a"), by_hand.annotations_of("a")
    assert (one.sha256, one.coverage, one.asked) == (other.sha256, other.coverage, other.asked)


def shifted(slices: int) -> FloatArray:
    matrix: FloatArray = GEOMETRY.matrix.copy()
    matrix[:3, 3] = GEOMETRY.to_world([[0, 0, slices]])[0]
    return matrix


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (nifti(organ(), shifted(1)), "displaced"),
        (nifti(organ(), oblique_geometry(GEOMETRY.shape, flips=(True, False, False)).matrix), ""),
        (nifti(organ()[:9]), "shape"),
        (nifti(np.where(organ() == 2, 7, organ()).astype(np.uint8)), "unknown values"),
        (b"\x1f\x8bgarbage", "gzip"),
    ],
    ids=["shifted", "mirrored", "cropped", "unknown", "damaged"],
)
def test_a_label_map_that_cannot_be_right_is_refused_and_kept(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    workspace = make_workspace(tmp_path, "a")
    with serving(workspace) as client:
        answer = put(client, "*", content=content)
        assert answer.status_code == 422
        assert reason in answer.json()["problems"][0]["found"] + answer.json()["detail"]
        assert str(tmp_path) not in answer.text
        (item,) = client.get("set-aside").json()["items"]
        assert item["id"] == answer.json()["kept"]
        assert str(tmp_path) not in str(item)
        assert client.get(f"set-aside/{item['id']}").content == content
    assert workspace.annotations_of("a") == ()


def test_edits_outside_of_the_asked_region_are_reported_and_kept(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    ask(workspace, ("a", slice_box(3)))
    content = nifti(organ())
    with serving(workspace) as client:
        query = client.post("queries/next", params=EVA).json()
        assert (query["id"], query["axis"], query["lease"]["author"]) == ("0-1", 2, "eva")
        answer = client.post(f"queries/{query['id']}/answer", params=EVA, content=content)
        assert answer.status_code == 200, answer.text
        document = answer.json()
        assert document["answered"] == ["0-1"]
        assert document["round_complete"]
        assert "were changed outside of what was looked at" in document["warnings"][0]
        assert client.get(f"set-aside/{document['kept']}").content == content
        assert client.post("queries/next", params=EVA).status_code == 204
    (revision,) = workspace.annotations_of("a")
    assert (revision.origin.query, revision.origin.round) == (1, 0)
    assert np.flatnonzero(workspace.target_of("a").looked_at.all(axis=(0, 1))).tolist() == [3]


def test_two_annotators_are_given_different_queries_and_cannot_answer_each_others(
    tmp_path: Path,
) -> None:
    workspace = make_workspace(tmp_path, "a", "b")
    ask(workspace, ("a", slice_box(3)), ("b", slice_box(2)))
    with serving(workspace) as client:
        first = client.post("queries/next", params=EVA).json()["id"]
        second = client.post("queries/next", params={"author": "uli"}).json()["id"]
        assert (first, second) == ("0-1", "0-2")
        assert client.post("queries/next", params=EVA).json()["id"] == first
        body = {"patches": [slice_patch(organ(), 2)]}
        taken = client.post(f"queries/{second}/answer", params=EVA, json=body)
        assert taken.status_code == 409
        assert client.post(f"queries/{second}/nothing", params=EVA).status_code == 409
        assert client.post("queries/next", params={"author": "ida"}).status_code == 204
        client.delete(f"queries/{second}/lease", params=EVA)  # not hers to give back
        assert client.post("queries/next", params={"author": "ida"}).status_code == 204
        client.delete(f"queries/{second}/lease", params={"author": "uli"})
        assert client.post("queries/next", params={"author": "ida"}).json()["id"] == second
        done = client.post(f"queries/{second}/nothing", params={"author": "ida"})
        assert done.json()["answered"] == [second]
        assert client.post(f"queries/{second}/nothing", params={"author": "ida"}).status_code == 409
        skipped = client.post(f"queries/{first}/skip", params=EVA, json={"reason": "unclear"})
        assert skipped.json() == {"skipped": [1], "round_complete": True}
        assert client.get("queries").json()["stage"] == "complete"
        assert client.post("queries/0-9/nothing", params=EVA).status_code == 404
    (revision,) = workspace.annotations_of("b")
    assert revision.coverage.labels == {}
    workspace.verify()


def test_a_lease_runs_out(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    ask(workspace, ("a", slice_box(3)))
    with serving(workspace, lease_s=0.05) as client:
        assert client.post("queries/next", params=EVA).json()["id"] == "0-1"
        time.sleep(0.1)
        assert client.post("queries/next", params={"author": "uli"}).json()["id"] == "0-1"


def test_every_stroke_is_kept_until_it_is_submitted(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    ask(workspace, ("a", slice_box(3)))
    stroke = {"start": [1, 2, 3], "stop": [4, 3, 4], "rle": [0, 1, 2, 2]}
    with serving(workspace) as client:
        params = {**EVA, "query": "0-1"}
        for number in range(3):
            body = {"patches": [stroke], "after": number, "seconds": 5.0 * number, "base": "none"}
            saved = client.put("cases/a/draft", params=params, json=body)
            assert saved.json()["count"] == number + 1
            assert saved.json()["lease"]["author"] == "eva"
        other_window = client.put("cases/a/draft", params=params, json={"patches": [], "after": 1})
        assert other_window.status_code == 409
    with serving(workspace) as client:  # as after a restart
        draft = client.get("cases/a/draft", params=params).json()
        assert (draft["count"], draft["seconds"], draft["patches"]) == (3, 10.0, [stroke] * 3)
        assert client.get("cases/a/draft", params=EVA).json()["count"] == 0
        assert client.get("cases/a/draft", params={"author": "uli"}).json()["count"] == 0
        outside = {**stroke, "stop": [4, 3, 8]}
        refused = client.put("cases/a/draft", params=params, json={"patches": [outside]})
        assert refused.status_code == 422
        client.post(
            "queries/0-1/answer", params=EVA, json={"patches": [slice_patch(organ(), 3)]}
        ).raise_for_status()
        assert client.get("cases/a/draft", params=params).json()["count"] == 0
        late = client.put("cases/a/draft", params=params, json={"patches": [stroke]})
        assert late.status_code == 409


def test_a_delivery_is_taken_back_and_taken_back_again(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    ask(workspace, ("a", slice_box(3)), ("a", slice_box(4)))
    with serving(workspace) as client:
        body = {"patches": [slice_patch(organ(), 3)]}
        tag = client.post("queries/0-1/answer", params=EVA, json=body).headers["etag"]
        stale = client.post("cases/a/undo", params=EVA, headers={"If-Match": "none"})
        assert stale.status_code == 409
        done = client.post("cases/a/undo", params=EVA, headers={"If-Match": tag})
        assert done.json()["reopened"] == [1]
        assert not workspace.target_of("a").looked_at.any()
        assert client.get("queries", params={"state": "open"}).json()["queries"][0]["id"] == "0-1"
        nothing = client.post("cases/a/undo", params=EVA, headers={"If-Match": "*"})
        assert nothing.status_code == 400
        again = client.post(
            "cases/a/undo", params={**EVA, "revision": 2}, headers={"If-Match": "*"}
        )
        assert again.status_code == 200
        assert np.array_equal(workspace.target_of("a").values[..., 3], organ()[..., 3])
        shown = client.get("cases/a/revisions").json()["revisions"]
        assert [(r["number"], r["withdraws"], r["active"]) for r in shown] == [
            (1, None, True),
            (2, 1, False),
            (3, 2, False),
        ]
    workspace.verify()


def test_revisions_are_compared_and_annotators_agree_as_measured(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    other = organ()
    other[4:6, 5, 3] = 0
    with serving(workspace) as client:
        put(client, "none", json={"patches": [slice_patch(organ(), 3)]}).raise_for_status()
        client.put(
            "cases/a/annotation",
            params={"author": "uli"},
            headers={"If-Match": "*"},
            json={"patches": [slice_patch(other, 3), slice_patch(other, 4)]},
        ).raise_for_status()
        found = client.get("cases/a/compare", params={"first": 1, "second": 2}).json()
        fresh = int(GEOMETRY.shape[0] * GEOMETRY.shape[1])
        lost = int((organ()[..., 3] != other[..., 3]).sum())
        assert lost > 0
        assert found["changed_voxels"] == fresh + lost
        assert {"from": 1, "to": 0, "voxels": lost} in found["changes"]
        (pair,) = client.get("agreement").json()["pairs"]
        assert (pair["authors"], pair["voxels"]) == (["eva", "uli"], fresh)
        liver = next(score for score in pair["scores"] if score["name"] == "liver")
        one, two = organ()[..., 3] == 1, other[..., 3] == 1
        assert liver["dice"] == pytest.approx(2 * (one & two).sum() / (one.sum() + two.sum()))
        assert client.get("cases/a/compare", params={"first": 1, "second": 9}).status_code == 400


def test_what_a_reviewer_sends_back_no_longer_counts_and_is_asked_again(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    ask(workspace, ("a", slice_box(3)), ("a", slice_box(4)))
    with serving(workspace) as client:
        for number, index in ((1, 3), (2, 4)):
            body = {"patches": [slice_patch(organ(), index)]}
            client.post(f"queries/0-{number}/answer", params=EVA, json=body).raise_for_status()
            if number == 1:
                assert len(client.get("reviews").json()["reviews"]) == 1
                said = client.post(
                    "cases/a/revisions/1/review",
                    params={"author": "ina"},
                    json={"verdict": "sent_back", "remark": "the tip is missing"},
                )
                assert said.json()["reopened"] == [1]
                assert client.get("reviews").json()["reviews"] == []
        assert not workspace.target_of("a").looked_at[..., 3].any()
        (back,) = client.get("reviews", params={"state": "sent_back"}).json()["reviews"]
        assert (back["number"], back["review"]["remark"]) == (1, "the tip is missing")
        accepted = client.post(
            "cases/a/revisions/3/review", params={"author": "ina"}, json={"verdict": "accepted"}
        )
        assert accepted.status_code == 200
        assert len(client.get("reviews", params={"state": "accepted"}).json()["reviews"]) == 1
        gone = client.post(
            "cases/a/revisions/1/review", params={"author": "ina"}, json={"verdict": "accepted"}
        )
        assert gone.status_code == 400
    workspace.verify()
    assert Workspace.open(workspace.root).target_of("a").looked_at[..., 4].all()


def test_slices_between_drawn_ones_are_filled(tmp_path: Path) -> None:
    disc = np.zeros(GEOMETRY.shape, dtype=np.uint8)
    disc[2:6, 3:9, 1] = 1
    disc[3:7, 3:9, 5] = 1
    with serving(make_workspace(tmp_path, "a")) as client:
        body = {"axis": 2, "patches": [slice_patch(disc, 1), slice_patch(disc, 5)]}
        answer = client.post("cases/a/fill", json=body)
        assert answer.status_code == 200, answer.text
        patches = answer.json()["patches"]
        assert [patch["start"][2] for patch in patches] == [2, 3, 4]
        middle = Patch.from_runs(
            patches[1]["start"], patches[1]["stop"], patches[1]["rle"], GEOMETRY.shape
        ).values[..., 0]
        assert middle[3:6, 4:8].all()  # what both slices share
        assert not middle[:2].any()
        twice = {"axis": 2, "patches": [slice_patch(disc, 1), slice_patch(disc, 1)]}
        assert client.post("cases/a/fill", json=twice).status_code == 422


def test_slices_between_drawn_ones_are_filled_as_the_model_proposes(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    drawn = organ()
    body = {"axis": 2, "patches": [slice_patch(drawn, 1), slice_patch(drawn, 4)], "by": "model"}
    ask(workspace, ("a", slice_box(0)))
    with serving(workspace) as client:
        assert client.post("cases/a/fill", json=body).status_code == 404
        stand_in(workspace)
        said = np.roll(organ(), 2, axis=0)
        propose(workspace, said, CaseOutcome("a", "done"))
        patches = client.post("cases/a/fill", json=body).json()["patches"]
    assert patches == [slice_patch(said, index) for index in (2, 3)]


def test_a_label_map_of_every_form_is_taken(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    write_label_map(tmp_path / "drawn.nrrd", LabelMap(organ(), GEOMETRY, LABELS))
    content = (tmp_path / "drawn.nrrd").read_bytes()
    with serving(workspace) as client:
        raw = client.put(
            "cases/a/annotation",
            params={**EVA, "looked_at": "all", "filename": "C:\\patients\\drawn.nrrd"},
            headers={"If-Match": "*"},
            content=content,
        )
        assert raw.status_code == 200, raw.text
        again = client.put(
            "cases/a/annotation",
            params={**EVA, "looked_at": "all"},
            headers={"If-Match": "*"},
            files={"file": ("/home/someone/drawn.nrrd", content)},
        )
        assert again.json()["unchanged"] == ["a"]
        strange = client.put(
            "cases/a/annotation",
            params={**EVA, "filename": "drawn.exe"},
            headers={"If-Match": "*"},
            content=content,
        )
        assert strange.status_code == 415
