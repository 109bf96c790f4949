"""Simulations on phantoms and the demo on a few real scans, with trainings of a few steps."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from simulate_small import write_eggs

from plans import narrow_networks
from voxloop.active.trial.campaign import Campaign
from voxloop.active.trial.study import Rules
from voxloop.cli.main import execute
from voxloop.errors import UsageError
from voxloop.model.checkpoint import load_checkpoint
from voxloop.train.config import TrainConfig
from voxloop.workspace.actions.demo import demo
from voxloop.workspace.actions.simulate import simulate
from voxloop.workspace.lock import exclusive
from voxloop.workspace.simulation import Cell, Simulation, play

SAMPLE = Path(__file__).parents[2] / "examples" / "data" / "hippocampus"


@pytest.fixture(scope="module")
def eggs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five phantoms, in nnU-Net layout."""
    return write_eggs(tmp_path_factory.mktemp("eggs"), 5)


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


def _simulation(*strategies: str, **rules: Any) -> Simulation:
    default = {"budgets": [3, 5, 7], "steps": 2}
    return Simulation(strategies, (0,), Rules(**{**default, **rules}), test_share=0.4)


@pytest.fixture(autouse=True)
def _small_networks() -> Iterator[None]:
    with narrow_networks("voxloop.active.trial.campaign"):
        yield


def test_strategies_start_alike_and_go_on_from_the_round_before(eggs: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    simulation = _simulation("entropy", "random_slices", first_steps=4, full_steps=3)
    first = simulate(eggs, simulation, out)
    entropy, chance, full = (
        first.campaigns[Campaign(key, 0)] for key in ("entropy", "random_slices", "full")
    )
    assert entropy[0].dice == chance[0].dice
    assert entropy[0].chosen != chance[0].chosen
    assert [r.slices for r in entropy] == [r.slices for r in chance] == [3, 5, 7]
    assert [r.steps for r in entropy] == [4, 2, 2]
    assert full[0].share == 1.0
    assert full[0].seconds > entropy[-1].seconds > entropy[0].seconds > 0
    # the model of the last round is left, and it says where it began
    last = load_checkpoint(out / "models" / "entropy" / "seed-0" / "round-2" / "model.safetensors")
    assert last.provenance["start"] is not None
    assert not (out / "models" / "entropy" / "seed-0" / "round-1").exists()

    rows = (out / "rows.csv").read_text()
    table = list(csv.DictReader(rows.splitlines()))
    assert len(table) == (3 + 3 + 1) * first.test_cases * 2
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = parquet.read_table(out / "rows.parquet").to_pylist()
    assert [row["strategy"] for row in columns] == [row["strategy"] for row in table]
    assert [row["dice"] for row in columns] == [float(row["dice"]) for row in table]

    # a round that was lost is played again, and all that it needs with it
    (out / "entropy" / "seed-0" / "round-2.json").unlink()
    shutil.rmtree(out / "models" / "entropy")
    second = simulate(eggs, simulation, out)
    assert second.campaigns == first.campaigns
    assert (out / "rows.csv").read_text() == rows


def test_from_scratch_each_round_begins_anew(eggs: Path, tmp_path: Path) -> None:
    simulate(eggs, _simulation("strided", warm_start=False, budgets=[3, 5]), tmp_path)
    model = tmp_path / "models" / "strided" / "seed-0" / "round-1" / "model.safetensors"
    assert load_checkpoint(model).provenance["start"] is None


def test_cells_can_be_played_one_by_one_and_need_nothing_but_their_names(
    eggs: Path, tmp_path: Path
) -> None:
    simulation = _simulation("strided", "random_slices", budgets=[3, 5])
    part = simulate(eggs, simulation, tmp_path, only=[Campaign("strided", 0)])
    assert part.comparison is None
    assert part.missing == (Campaign("random_slices", 0),)
    cell = Cell(str(eggs), str(tmp_path), part.missing[0])
    with exclusive(tmp_path / "random_slices" / "seed-0" / "campaign.lock", "a test"):
        assert not play(cell)
    assert play(cell)
    whole = simulate(eggs, simulation, tmp_path)
    assert whole.comparison is not None
    with pytest.raises(UsageError, match="not a part of this simulation: strided, seed 7"):
        simulate(eggs, simulation, tmp_path, only=[Campaign("strided", 7)])


def test_an_annotator_who_errs_gives_other_models(eggs: Path, tmp_path: Path) -> None:
    exact = simulate(eggs, _simulation("strided", budgets=[3]), tmp_path / "exact")
    wrong = simulate(eggs, _simulation("strided", budgets=[3], jitter_mm=2.0), tmp_path / "wrong")
    start = Campaign("start", 0)
    assert exact.campaigns[start][0].dice != wrong.campaigns[start][0].dice


def test_without_pyarrow_the_table_is_csv_and_says_so(
    eggs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = simulate(eggs, _simulation("strided", budgets=[3]), tmp_path)
    assert not (tmp_path / "rows.parquet").exists()
    assert "voxloop[research]" in done.warnings[0]


def test_a_folder_of_another_study_is_not_written_into(eggs: Path, tmp_path: Path) -> None:
    simulate(eggs, _simulation("strided", budgets=[3]), tmp_path)
    with pytest.raises(UsageError, match="holds a simulation of something else"):
        simulate(eggs, _simulation("strided", budgets=[3], steps=3), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategies": ()}, "at least one strategy"),
        ({"strategies": ("strided", "strided")}, "named twice"),
        ({"seeds": (1, 1)}, "named twice"),
        ({"test_share": 1.0}, "between 0 and 1"),
    ],
)
def test_impossible_simulations_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Simulation(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"stepz": 3}, "unknown rules stepz"),
        ({"steps": "many"}, "steps cannot be 'many'"),
        ({"budgets": [3, True]}, "budgets cannot be"),
        ({"first_steps": 5}, "need steps beside them"),
        ({"regions": "lumps"}, "unknown kind of region"),
        ({"missed": 2}, "probability"),
        ({"seeds": "all"}, "seeds are lists"),
    ],
)
def test_rules_that_make_no_sense_are_refused(document: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Simulation.from_json(document)


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
