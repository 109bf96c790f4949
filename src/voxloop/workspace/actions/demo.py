"""The whole loop on real scans, with a simulated annotator, in a quarter of an hour."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from voxloop import __version__
from voxloop.active.cost.budget import slices_for_share
from voxloop.compute.atomic import write_bytes, write_json
from voxloop.compute.progress import ProgressSink, silent
from voxloop.dataset.dataset import Dataset
from voxloop.dataset.layouts import read_dataset
from voxloop.dataset.load import read_case_channels, read_case_label_map
from voxloop.errors import UsageError
from voxloop.io.formats import read_label_map
from voxloop.metrics.table import FOREGROUND_MEAN, Summary
from voxloop.model.checkpoint import load_checkpoint
from voxloop.report.curves import Curve, learning_curve_png
from voxloop.report.html import write_html
from voxloop.report.loop import ShownCase, loop_report
from voxloop.train.config import TrainConfig
from voxloop.train.loop import MODEL_FILE
from voxloop.volume.labels import BACKGROUND, LabelTable
from voxloop.volume.volume import LabelMap
from voxloop.workspace.actions.add import add
from voxloop.workspace.actions.answer import answer
from voxloop.workspace.actions.evaluate import EvaluateResult, evaluate
from voxloop.workspace.actions.init import init
from voxloop.workspace.actions.mesh import mesh
from voxloop.workspace.actions.segment import segment
from voxloop.workspace.actions.suggest import Wish, pool_of, suggest
from voxloop.workspace.actions.train import train
from voxloop.workspace.layout import Layout
from voxloop.workspace.rounds import RoundStage
from voxloop.workspace.workspace import Workspace

__all__ = ["CONTROL", "STRATEGY", "DemoResult", "RoundPoint", "demo", "sample_folder"]

STRATEGY = "entropy"
"""The strategy that the demo shows."""

CONTROL = "foreground_random"
"""The baseline beside it, which no published method reliably beats."""

_BUDGET_SHARE = 0.05
"""Of the pool's slices, over all rounds of an arm."""


@dataclass(frozen=True)
class RoundPoint:
    """Where an arm of the demo stood after a round.

    Attributes:
        slices: annotated slices.
        share: of the pool's slices.
        dice: mean foreground Dice on the test cases, with its interval.
    """

    slices: int
    share: float
    dice: Summary


@dataclass(frozen=True)
class DemoResult:
    """What the demo reached.

    Attributes:
        arms: strategy to its points, in order of rounds.
        evaluation: of the strategy's last model on the test cases.
        meshes_passed: every mesh passed its certificate.
        seconds: wall time.
        wrote: report first.
    """

    arms: dict[str, tuple[RoundPoint, ...]]
    evaluation: EvaluateResult
    meshes_passed: bool
    seconds: float
    wrote: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        """The result as a document."""
        return {
            "arms": {
                key: [
                    {
                        "slices": point.slices,
                        "share": point.share,
                        "dice": point.dice.mean,
                        "low": point.dice.low,
                        "high": point.dice.high,
                        "cases": point.dice.cases,
                    }
                    for point in points
                ]
                for key, points in self.arms.items()
            },
            "meshes_passed": self.meshes_passed,
            "seconds": round(self.seconds, 1),
        }


def sample_folder() -> Path:
    """The bundled sample of a source checkout.

    Raises:
        UsageError: if this installation has none.
    """
    folder = Path(__file__).parents[4] / "examples" / "data" / "hippocampus"
    if not (folder / "dataset.json").exists():
        raise UsageError(
            "this installation has no sample; run the demo from a source checkout, or name a "
            "folder in nnU-Net v2 layout with imagesTr, labelsTr, imagesTs and labelsTs (--data)"
        )
    return folder


def demo(
    data: Path,
    out: Path,
    *,
    rounds: int = 3,
    config: TrainConfig | None = None,
    progress: ProgressSink = silent,
) -> DemoResult:
    """Play the loop from seed slices to printable meshes, with a control arm beside it.

    The arm of the strategy and the arm of foreground-aware random start from the same slices and
    the same first model, get the same number of slices and the same training. The test cases are
    scored after each round; nothing is chosen by those scores. A demo that was interrupted
    continues.

    Args:
        data: folder in nnU-Net v2 layout with imagesTr, labelsTr, imagesTs and labelsTs.
        out: folder for workspaces, predictions, meshes and report; created if need be.
        rounds: rounds of asking after the seed set.
        config: duration and seed of each training.
        progress: told about everything.

    Raises:
        UsageError: if `out` holds something else.
        DataError: if the data set is bad.
    """
    started = time.monotonic()
    config = config or TrainConfig(minutes=1.4)
    loop = _Loop(data, read_dataset(data), out, config, rounds, progress)
    arms = loop.play()
    model = loop.model(STRATEGY, rounds)
    predictions = out / "predictions"
    segment(model, data / "imagesTs", predictions, progress=progress)
    evaluation = evaluate(
        data / "labelsTs", predictions, labels=loop.labels, out=out / "scores", progress=progress
    )
    shown = _shown_cases(loop, evaluation, predictions)
    for case in shown:
        mesh(predictions / f"{case.id}.nii.gz", out / "meshes", labels=loop.labels)
    report, pictures = _write_report(loop, arms, evaluation, shown)
    result = DemoResult(
        arms=arms,
        evaluation=evaluation,
        meshes_passed=all(c.passed for case in shown for c in case.certificates),
        seconds=time.monotonic() - started,
        wrote=(report, pictures, predictions, out / "meshes", out / "scores"),
    )
    write_json(out / "demo.json", result.to_json())
    return result


def _curve(key: str, points: Sequence[RoundPoint]) -> Curve:
    def bound(value: float | None) -> float:
        return float("nan") if value is None else value

    return Curve(
        name=key.replace("_", " "),
        cost_share=tuple(p.share for p in points),
        dice=tuple(p.dice.mean for p in points),
        lower=tuple(bound(p.dice.low) for p in points),
        upper=tuple(bound(p.dice.high) for p in points),
    )


def _shown_cases(loop: _Loop, evaluation: EvaluateResult, predictions: Path) -> list[ShownCase]:
    """The best, the median and the worst case: a report that shows the best only is a lie."""
    dice: dict[str, list[float]] = {}
    for score in evaluation.scores:
        if score.value != BACKGROUND:
            dice.setdefault(score.case_id, []).append(score.dice)
    ranked = sorted(dice, key=lambda case_id: -float(np.nanmean(dice[case_id])))
    chosen = dict.fromkeys((ranked[0], ranked[len(ranked) // 2], ranked[-1]))
    scans = read_dataset(loop.data / "imagesTs")
    return [
        ShownCase.of(
            case_id,
            read_case_channels(scans.case(case_id))[0],
            read_label_map(loop.data / "labelsTs" / f"{case_id}.nii.gz", loop.labels),
            read_label_map(predictions / f"{case_id}.nii.gz", loop.labels),
        )
        for case_id in chosen
    ]


def _write_report(
    loop: _Loop,
    arms: dict[str, tuple[RoundPoint, ...]],
    evaluation: EvaluateResult,
    shown: Sequence[ShownCase],
) -> tuple[Path, Path]:
    """Write the page, and its pictures as files; give both places."""
    curves = [_curve(key, points) for key, points in arms.items()]
    page, pictures = loop.out / "report.html", loop.out / "pictures"
    write_bytes(pictures / "learning-curve.png", learning_curve_png(curves))
    for case in shown:
        write_bytes(pictures / f"{case.id}.png", case.overlay)
    provenance = (
        ("Voxloop", __version__),
        ("pool and test cases", f"{len(loop.dataset.cases)} and {len(evaluation.cases)}"),
        ("model", load_checkpoint(loop.model(STRATEGY, loop.rounds)).sha256),
        ("seed", str(loop.config.seed)),
        ("strategies", f"{STRATEGY}; beside it {CONTROL}"),
    )
    summaries = (*evaluation.per_volume, *evaluation.per_slice)
    write_html(page, loop_report(curves, summaries, evaluation.scores, shown, provenance))
    return page, pictures


@dataclass(frozen=True)
class _Loop:
    """The two arms of the demo, from init to the last round."""

    data: Path
    dataset: Dataset
    out: Path
    config: TrainConfig
    rounds: int
    progress: ProgressSink

    @property
    def labels(self) -> LabelTable:
        if self.dataset.labels is None:
            raise UsageError(f"{self.data} names no labels; the demo needs a dataset.json")
        return self.dataset.labels

    def play(self) -> dict[str, tuple[RoundPoint, ...]]:
        arms: dict[str, list[RoundPoint]] = {STRATEGY: [], CONTROL: []}
        main = self._workspace(STRATEGY)
        self._round(main, STRATEGY, 0)
        arms[STRATEGY].append(self._score(STRATEGY, 0))
        self._branch_off()
        arms[CONTROL].append(arms[STRATEGY][0])
        for key, points in arms.items():
            workspace = self._workspace(key)
            for number in range(1, self.rounds + 1):
                self._round(workspace, key, number)
                points.append(self._score(key, number))
        return {key: tuple(points) for key, points in arms.items()}

    def model(self, key: str, number: int) -> Path:
        # the seed set is a round of its own, without a model
        return Layout(self._folder(key)).member_folder(number + 1, 0) / MODEL_FILE

    @property
    def query_size(self) -> int:
        """Slices per round, so that all rounds together stay within the budget."""
        pool = pool_of(self._workspace(STRATEGY))
        return slices_for_share(pool, _BUDGET_SHARE) // (self.rounds + 1)

    def _folder(self, key: str) -> Path:
        return self.out / ("workspace" if key == STRATEGY else "control")

    def _workspace(self, key: str) -> Workspace:
        folder = self._folder(key)
        if not Layout(folder).settings_file.exists():
            init(folder, self.labels, name=f"demo, {key}", actor="demo")
        workspace = Workspace.open(folder)
        if not workspace.cases():
            add(workspace, self.data, actor="demo", progress=self.progress)
        return workspace

    def _branch_off(self) -> None:
        """Give the control arm the same beginning: slices, answers and first model."""
        control = self._folder(CONTROL)
        if control.exists():
            return
        unfinished = control.with_name(f".{control.name}.copying")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(self._folder(STRATEGY), unfinished)
        unfinished.replace(control)

    def _round(self, workspace: Workspace, key: str, number: int) -> None:
        """Ask, answer and train, as far as an earlier run of the demo has not."""
        if self.model(key, number).exists():
            return
        record = workspace.current_round()
        if record is None or record.stage not in {RoundStage.COMPLETE, RoundStage.TRAINING}:
            wish = Wish(
                query_size=self.query_size,
                strategy="seed" if number == 0 else key,
                seed=self.config.seed,
            )
            suggest(workspace, wish, actor="demo", progress=self.progress)
            answer(workspace, self._reference)
        train(workspace, self.config, actor="demo", progress=self.progress)

    def _reference(self, case_id: str) -> LabelMap:
        return read_case_label_map(
            self.dataset.case(case_id), self.labels, ignore_value=self.dataset.ignore_value
        )

    def _score(self, key: str, number: int) -> RoundPoint:
        predictions = self.out / "rounds" / key / str(number)
        segment(self.model(key, number), self.data / "imagesTs", predictions,
                progress=self.progress)  # fmt: skip
        found = evaluate(self.data / "labelsTs", predictions, labels=self.labels)
        slices = self.query_size * (number + 1)
        pool = pool_of(Workspace.open(self._folder(key)))
        return RoundPoint(
            slices, slices / pool.tiling_count, found.summary("dice", FOREGROUND_MEAN)
        )
