from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from server_samples import read_nifti, serving

from voxloop.io.formats import read_volume
from workspace_samples import GEOMETRY, SLICE_AXIS, make_workspace


def test_a_slab_is_the_scans_own_voxels_where_they_lie(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    scan = read_volume(tmp_path / "scans" / "a.nii.gz").array
    with serving(workspace) as client:
        answer = client.get("cases/a/image", params={"start": 2, "stop": 5})
        assert answer.status_code == 200, answer.text
        array, affine = read_nifti(answer.content)
        assert np.array_equal(array, scan[..., 2:5])
        corner = GEOMETRY.to_world([[0, 0, 2]])[0]
        assert np.allclose(affine[:3, 3], corner, atol=1e-4)
        assert np.allclose(affine[:3, :3], GEOMETRY.matrix[:3, :3], atol=1e-6)
        assert int(answer.headers["content-length"]) == len(answer.content)
        part = client.get("cases/a/image", params={"box": "1,2,3,4,6,5", "format": "nii"})
        assert np.array_equal(read_nifti(part.content)[0], scan[1:4, 2:6, 3:5])
        across = client.get("cases/a/image", params={"axis": 0, "start": 9})
        assert np.array_equal(read_nifti(across.content)[0], scan[9:])
        again = client.get(
            "cases/a/image",
            params={"start": 2, "stop": 5},
            headers={"If-None-Match": answer.headers["etag"]},
        )
        assert (again.status_code, again.content) == (304, b"")


def test_what_is_known_of_a_case_is_served_with_its_state(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    with serving(workspace) as client:
        answer = client.get("cases/a/annotation")
        assert answer.headers["etag"] == '"none"'
        array, _ = read_nifti(answer.content)
        assert array.dtype == np.uint8
        assert (array == 255).all()
        (case,) = client.get("cases").json()["cases"]
        assert (case["id"], case["slice_axis"], case["etag"]) == ("a", SLICE_AXIS, "none")
        assert case["shape"] == list(GEOMETRY.shape)
        assert client.get("cases/a").json() == case
        assert client.get("cases/a/proposal").status_code == 404


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"start": 5, "stop": 5}, 422),
        ({"start": 7}, 422),
        ({"box": "0,0,0,99,1,1"}, 422),
        ({"box": "0,0,0"}, 422),
        ({"channel": 1}, 404),
        ({"axis": 3}, 422),
    ],
)
def test_what_is_no_part_of_a_scan_is_refused(
    tmp_path: Path, params: dict[str, str], status: int
) -> None:
    with serving(make_workspace(tmp_path, "a")) as client:
        answer = client.get("cases/a/image", params=params)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"


def test_more_than_is_sent_at_once_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with serving(make_workspace(tmp_path, "a"), max_image_voxels=200) as client:
        answer = client.get("cases/a/image")
        assert answer.status_code == 413
        assert "ask for a slab" in answer.json()["detail"]
        assert client.get("cases/a/image", params={"start": 0, "stop": 1}).status_code == 200
