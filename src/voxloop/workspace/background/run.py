"""The process of a background job: `python -m voxloop.workspace.background.run FOLDER JOB`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from voxloop.compute.atomic import write_json
from voxloop.compute.progress import ProgressSink
from voxloop.errors import InterruptedJobError, VoxloopError
from voxloop.workspace.background.files import JobFiles, Reporter
from voxloop.workspace.background.request import JobRequest
from voxloop.workspace.clock import utc_now
from voxloop.workspace.documents import read_document
from voxloop.workspace.layout import Layout
from voxloop.workspace.lock import exclusive

__all__ = ["main", "run"]

_NICE = 10
"""Requests of people come first."""


def main(arguments: list[str]) -> int:
    """Do the job that the command line names, and give the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder, job_id = arguments
    layout = Layout(Path(folder))
    files = JobFiles.of(layout, job_id)
    with exclusive(files.lock, "a background job"):
        if hasattr(os, "nice"):
            os.nice(_NICE)
        return run(layout, files)


def run(layout: Layout, files: JobFiles) -> int:
    """Do what is left of a job's steps; the caller holds its lock.

    Returns:
        As the command line: 0 done, 5 stopped and resumable, else why it failed.
    """
    request = dict(read_document(files.request))
    request.pop("started")
    wish = JobRequest.from_json(request)
    before = read_document(files.state) if files.state.exists() else {}
    results: dict[str, Any] = dict(before.get("results", {}))
    reporter = Reporter(files)
    for step in wish.steps:
        if step in results:
            continue
        reporter.step = step
        write_json(files.state, {"step": step, "results": results})
        try:
            results[step] = _ACTIONS[step](layout, wish, reporter)
        except (KeyboardInterrupt, InterruptedJobError):
            _finish(files, step, results, "interrupted", "")
            return InterruptedJobError.exit_code
        except VoxloopError as error:
            _finish(files, step, results, "failed", str(error))
            return error.exit_code
        except Exception as error:
            _finish(files, step, results, "failed", f"a bug of ours: {type(error).__name__}")
            raise  # to the log
    _finish(files, wish.steps[-1], results, "done", "")
    return 0


def _finish(files: JobFiles, step: str, results: dict[str, Any], state: str, message: str) -> None:
    document = {
        "step": step,
        "state": state,
        "message": message,
        "finished": utc_now(),
        "results": results,
    }
    write_json(files.state, document)


def _train(layout: Layout, wish: JobRequest, progress: ProgressSink) -> dict[str, Any]:
    from voxloop.train.config import TrainConfig
    from voxloop.workspace.actions.train import train
    from voxloop.workspace.workspace import Workspace

    config = TrainConfig(steps=wish.optimiser_steps, minutes=wish.minutes, seed=wish.seed)
    workspace = Workspace.open(layout.root)
    document = train(workspace, config, actor=wish.actor, progress=progress).to_json()
    return {key: value for key, value in document.items() if key != "model"}


def _validate(layout: Layout, wish: JobRequest, progress: ProgressSink) -> dict[str, Any]:
    from voxloop.workspace.actions.validate import validate
    from voxloop.workspace.workspace import Workspace

    done = validate(
        Workspace.open(layout.root), folds=wish.folds, steps=wish.optimiser_steps, seed=wish.seed,
        actor=wish.actor, progress=progress,
    )  # fmt: skip
    return {"round": done.round_number, "cases": done.validation.cases}


def _propose(layout: Layout, wish: JobRequest, progress: ProgressSink) -> dict[str, Any]:
    from voxloop.workspace.actions.propose import propose
    from voxloop.workspace.workspace import Workspace

    del wish  # every case is proposed for
    return propose(Workspace.open(layout.root), progress=progress).to_json()


def _suggest(layout: Layout, wish: JobRequest, progress: ProgressSink) -> dict[str, Any]:
    from voxloop.active.cut import Cut
    from voxloop.workspace.actions.suggest import DEFAULT_STRATEGY, Wish, suggest
    from voxloop.workspace.workspace import Workspace

    wanted = Wish(
        query_size=wish.query_size,
        strategy=wish.strategy or DEFAULT_STRATEGY,
        cut=Cut(wish.regions, wish.side_mm),  # type: ignore[arg-type] # which checks the word itself
        minutes=wish.labelling_minutes,
        control=wish.control,
        seed=wish.seed,
    )
    done = suggest(Workspace.open(layout.root), wanted, actor=wish.actor, progress=progress)
    return {
        "round": done.round_number,
        "strategy": done.strategy,
        "queries": len(done.queries),
        "expected_seconds": done.seconds,
    }


def _referee(layout: Layout, wish: JobRequest, progress: ProgressSink) -> dict[str, Any]:
    from voxloop.workspace.actions.referee import referee
    from voxloop.workspace.workspace import Workspace

    del wish  # it looks at everything there is
    return referee(Workspace.open(layout.root), progress=progress).to_json()


def _mesh(layout: Layout, wish: JobRequest, progress: ProgressSink) -> dict[str, Any]:
    from voxloop.workspace.actions.mesh_cases import mesh_cases
    from voxloop.workspace.workspace import Workspace

    del wish  # every case that has labels
    return mesh_cases(Workspace.open(layout.root), progress).to_json()


_ACTIONS: dict[str, Callable[[Layout, JobRequest, ProgressSink], dict[str, Any]]] = {
    "train": _train,
    "validate": _validate,
    "propose": _propose,
    "suggest": _suggest,
    "referee": _referee,
    "mesh": _mesh,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
