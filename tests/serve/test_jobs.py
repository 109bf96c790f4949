from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from server_samples import serving, slice_patch

from voxloop.errors import UsageError
from voxloop.workspace.background.files import JobFiles
from voxloop.workspace.background.jobs import BackgroundState, background_job, resume, start, stop
from voxloop.workspace.background.request import JobRequest
from voxloop.workspace.workspace import Workspace
from workspace_samples import make_workspace, organ

EVA = {"author": "eva"}
LONG = {"steps": ["train"], "optimiser_steps": 100000}


def annotated(folder: Path) -> Workspace:
    workspace = make_workspace(folder, "a")
    with serving(workspace) as client:
        body = {"patches": [slice_patch(organ(), index) for index in (2, 3, 4)]}
        client.put(
            "cases/a/annotation", params=EVA, headers={"If-Match": "none"}, json=body
        ).raise_for_status()
    return workspace


def test_a_job_is_one_of_the_steps_there_are() -> None:
    with pytest.raises(UsageError, match="each once"):
        JobRequest(())
    with pytest.raises(UsageError, match="not 'format the disk'"):
        JobRequest(("format the disk",))
    with pytest.raises(UsageError, match="minutes is from"):
        JobRequest(("train",), minutes=-1)


def test_a_job_outlives_the_server_and_is_stopped_synchronously(tmp_path: Path) -> None:
    workspace = annotated(tmp_path)
    with serving(workspace) as client:
        job = client.post("jobs", params=EVA, json=LONG).json()
        assert job["state"] == "running"
        assert client.post("jobs", params=EVA, json=LONG).status_code == 409
        began_s = time.monotonic()
        assert client.get("cases").status_code == 200  # nothing waits for the job
        assert time.monotonic() - began_s < 30
    with serving(workspace) as client:  # as after a restart
        assert client.get(f"jobs/{job['id']}").json()["state"] == "running"
        stopped = client.post(f"jobs/{job['id']}/stop").json()
        assert (stopped["state"], stopped["resumable"]) == ("stopped", True)
        assert client.post(f"jobs/{job['id']}/stop").json()["state"] == "stopped"
        again = client.post(f"jobs/{job['id']}/resume")
        assert (again.status_code, again.json()["state"]) == (202, "running")
        client.post(f"jobs/{job['id']}/stop").raise_for_status()


def test_a_job_whose_process_was_killed_counts_as_interrupted(tmp_path: Path) -> None:
    workspace = annotated(tmp_path)
    job = start(workspace.layout, JobRequest(("train",), optimiser_steps=100000))
    files = JobFiles.of(workspace.layout, job.id)
    os.kill(json.loads(files.lock.read_text())["pid"], signal.SIGKILL)
    for _ in range(500):
        found = background_job(workspace.layout, job.id)
        if found.state is not BackgroundState.RUNNING:
            break
        time.sleep(0.02)
    assert found.state is BackgroundState.INTERRUPTED
    assert resume(workspace.layout, job.id).state is BackgroundState.RUNNING
    assert stop(workspace.layout, job.id, wait_s=0.0).state is BackgroundState.STOPPED


def test_a_step_that_cannot_be_done_fails_with_its_reason(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    job = start(workspace.layout, JobRequest(("train",)))
    deadline = time.monotonic() + 120
    while background_job(workspace.layout, job.id).state is BackgroundState.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found = background_job(workspace.layout, job.id)
    assert found.state is BackgroundState.FAILED
    assert "expected an annotated slice, found none" in found.message
    with serving(workspace) as client:
        shown = client.get(f"jobs/{job.id}").json()
        assert str(tmp_path) not in json.dumps(shown)
        with client.stream("GET", "dashboard") as answer:
            assert answer.status_code == 200


@pytest.mark.slow
def test_training_leads_to_proposals_and_questions(tmp_path: Path) -> None:
    workspace = annotated(tmp_path)
    with serving(workspace) as client:
        wanted = {"steps": ["train", "propose", "suggest"], "optimiser_steps": 3, "query_size": 2}
        job = client.post("jobs", params=EVA, json=wanted).json()
        deadline = time.monotonic() + 600
        while (now := client.get(f"jobs/{job['id']}").json())["state"] == "running":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert now["state"] == "done", now
        assert sorted(now["results"]) == ["propose", "suggest", "train"]
        proposal = client.get("cases/a/proposal")
        assert len(proposal.headers["x-proposal"]) == 64
        assert client.get("cases/a/uncertainty").status_code == 200
        assert len(client.get("queries").json()["queries"]) == 2
