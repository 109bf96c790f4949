"""Simulations and the demo on a handful of real scans, with trainings of a few steps."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from voxloop.cli.main import execute
from voxloop.errors import UsageError
from voxloop.train.config import TrainConfig
from voxloop.workspace.actions.demo import demo
from voxloop.workspace.actions.simulate import Simulation, simulate

SAMPLE = Path(__file__).parents[2] / "examples" / "data" / "hippocampus"


@pytest.fixture(scope="module")
def few_scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five cases to learn from and two to test on, in nnU-Net layout."""
    folder = tmp_path_factory.mktemp("few") / "hippocampus"
    for part, count in (("Tr", 5), ("Ts", 2)):
        for kind in ("images", "labels"):
            (folder / f"{kind}{part}").mkdir(parents=True)
            for path in sorted((SAMPLE / f"{kind}{part}").iterdir())[:count]:
                shutil.copy(path, folder / f"{kind}{part}")
    document = json.loads((SAMPLE / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(document | {"numTraining": 5}))
    return folder


def _simulation(*strategies: str) -> Simulation:
    return Simulation(
        strategies=strategies,
        seed_size=3,
        query_size=2,
        rounds=1,
        train=TrainConfig(steps=4),
        test_share=0.4,
    )


def test_strategies_start_alike_and_an_interrupted_simulation_ends_the_same(
    few_scans: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    simulation = _simulation("entropy", "random_slices")
    first = simulate(few_scans, simulation, out)
    entropy, chance = first.campaigns["entropy", 0], first.campaigns["random_slices", 0]
    assert entropy[0].dice == chance[0].dice
    assert [r.slices for r in entropy] == [r.slices for r in chance] == [3, 5]
    assert entropy[0].chosen != chance[0].chosen
    rows = (out / "rows.csv").read_text()
    assert len(list(csv.DictReader(rows.splitlines()))) == 2 * 2 * first.test_cases * 2

    (out / "entropy" / "seed-0" / "round-1.json").unlink()
    shutil.rmtree(out / "models" / "entropy")
    second = simulate(few_scans, simulation, out)
    assert second.campaigns == first.campaigns
    assert (out / "rows.csv").read_text() == rows


def test_a_folder_of_another_study_is_not_written_into(few_scans: Path, tmp_path: Path) -> None:
    simulate(few_scans, _simulation("strided"), tmp_path)
    other = Simulation(strategies=("strided",), rounds=2, train=TrainConfig(steps=4))
    with pytest.raises(UsageError, match="holds a simulation of something else"):
        simulate(few_scans, other, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategies": ()}, "at least one strategy"),
        ({"strategies": ("strided", "strided")}, "named twice"),
        ({"test_share": 1.0}, "between 0 and 1"),
    ],
)
def test_impossible_simulations_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Simulation(**change)  # type: ignore[arg-type]


def test_the_demo_ends_in_a_report_with_both_arms(
    few_scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo"
    arguments = ["demo", "--data", str(few_scans), "--out", str(out), "--rounds", "1"]
    assert execute([*arguments, "--steps", "40", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    entropy, control = document["arms"]["entropy"], document["arms"]["foreground_random"]
    assert entropy[0] == control[0]
    assert entropy[-1]["slices"] == control[-1]["slices"] > entropy[0]["slices"]
    assert entropy[-1]["share"] <= 0.05
    page = (out / "report.html").read_text()
    assert "foreground random" in page
    assert len(list((out / "predictions").glob("*.nii.gz"))) == 2
    assert list((out / "meshes").glob("*.stl"))

    again = demo(few_scans, out, rounds=1, config=TrainConfig(steps=40, minutes=1.4))
    assert again.to_json()["arms"] == document["arms"]
