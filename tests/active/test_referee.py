"""The referee: sees what is there, claims nothing of what is not, and mixes controls fairly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from voxloop.active.advice.referee import (
    Answer,
    Verdict,
    judge,
    judge_replay,
    with_control,
)
from voxloop.active.query import CONTROL, Query
from voxloop.errors import UsageError
from voxloop.volume.boxes import Box

SHAPE = (8, 9, 30)


def _answers(
    rng: np.random.Generator, advantage: float, rounds: int = 4, controls: int = 4
) -> list[Answer]:
    """Rounds of 16 answers whose level falls as the model improves."""
    found = []
    for number in range(1, rounds + 1):
        level = 10.0 / number**2
        for place in range(16):
            chosen = place >= controls
            error = level * rng.gamma(2, 0.5) * (1 + advantage * chosen)
            found.append(Answer(number, "entropy" if chosen else CONTROL, error, 1.0))
    return found


def _query(index: int, strategy: str = "entropy", case_id: str = "one") -> Query:
    region = Box.slice_at(SHAPE, 2, index)
    return Query(case_id, region, 0.5, strategy, "its turn", 1.0, "voxels")


def test_a_planted_advantage_is_found_and_its_absence_is_not_mistaken_for_one() -> None:
    rng = np.random.default_rng(0)
    found = judge(_answers(rng, 1.5, rounds=6), "entropy", rng)
    assert found.verdict is Verdict.PAYS
    assert 0 < found.low < found.advantage < found.high
    assert (found.chosen, found.controls) == (72, 24)
    worse = judge(_answers(rng, -0.6, rounds=6), "entropy", rng)
    assert worse.verdict is Verdict.DOES_NOT_PAY
    assert worse.high < 0


def test_chance_alone_hardly_ever_pays_and_the_interval_covers_it() -> None:
    rng = np.random.default_rng(1)
    found = [judge(_answers(rng, 0.0), "entropy", rng) for _ in range(60)]
    assert np.mean([one.verdict is Verdict.PAYS for one in found]) <= 0.07
    assert np.mean([one.low <= 0 <= one.high for one in found]) >= 0.88
    assert np.mean([one.p_value < 0.5 for one in found]) == pytest.approx(0.5, abs=0.2)


def test_the_p_value_of_one_round_is_that_of_the_usual_permutation_test() -> None:
    rng = np.random.default_rng(2)
    answers = _answers(rng, 0.6, rounds=1, controls=8)
    chosen = [a.error for a in answers if not a.is_control]
    control = [a.error for a in answers if a.is_control]
    usual = stats.permutation_test(
        (chosen, control), lambda a, b: np.mean(a) - np.mean(b), n_resamples=20000, rng=rng
    )
    assert judge(answers, "entropy", rng).p_value == pytest.approx(usual.pvalue, abs=0.02)


def test_an_early_round_with_many_controls_fakes_nothing() -> None:
    early = [Answer(1, CONTROL if i < 12 else "entropy", 100.0 + i % 4, 1.0) for i in range(16)]
    late = [Answer(2, CONTROL if i < 4 else "entropy", 1.0 + i % 4 / 100, 1.0) for i in range(16)]
    found = judge([*early, *late], "entropy", np.random.default_rng(3))
    assert found.advantage == pytest.approx(0, abs=1e-9)


def test_twice_the_error_for_twice_the_cost_is_no_advantage() -> None:
    answers = [Answer(1, CONTROL, 1.0 + i % 3, 1.0) for i in range(9)]
    answers += [Answer(1, "entropy", 2.0 * (1 + i % 3), 2.0) for i in range(9)]
    assert judge(answers, "entropy", np.random.default_rng(4)).advantage == pytest.approx(0)


def test_with_few_controls_nothing_is_claimed() -> None:
    rng = np.random.default_rng(5)
    found = judge(_answers(rng, 9.0, rounds=1, controls=6), "entropy", rng)
    assert found.verdict is Verdict.TOO_EARLY
    assert "6 control regions" in found.in_words()
    silent = judge(_answers(rng, 9.0, controls=0), "entropy", rng)
    assert silent.in_words().startswith("too early to say (n = 0")
    assert not silent.is_bounded


def test_a_replay_compares_seed_by_seed() -> None:
    def play(strategy: str, seed: int) -> float:
        start = np.random.default_rng(seed).random()  # campaigns of one seed start alike
        return start + (0.02 if strategy == "entropy" else 0.0) + 0.001 * (seed % 3)

    rng = np.random.default_rng(6)
    found = judge_replay(play, "entropy", range(10), rng)
    assert found.verdict is Verdict.PAYS
    assert found.advantage == pytest.approx(0.02)
    same = judge_replay(play, "margin", range(10), rng)
    assert same.verdict is Verdict.DOES_NOT_PAY
    assert judge_replay(play, "entropy", range(4), rng).verdict is Verdict.TOO_EARLY
    assert "n = 10 seeds" in found.in_words()


def test_controls_take_the_last_places_share_of_the_selection() -> None:
    queries = [_query(index) for index in range(16)]
    controls = [_query(29 - index, "foreground_random", "two") for index in range(16)]
    mixed = with_control(queries, controls, 0.25, np.random.default_rng(7))
    assert len(mixed) == 16
    assert mixed[0] == queries[0]
    assert [q for q in mixed if q.strategy != CONTROL] == queries[:12]
    drawn = [q for q in mixed if q.strategy == CONTROL]
    assert [q.region for q in sorted(drawn, key=lambda q: -q.region.start[2])] == [
        q.region for q in controls[:4]
    ]
    assert all(q.reason == "control: its turn" for q in drawn)
    assert mixed == with_control(queries, controls, 0.25, np.random.default_rng(7))
    assert with_control(queries, controls, 0.0, np.random.default_rng(7)) == tuple(queries)


def test_a_region_that_both_want_stays_a_control() -> None:
    queries, controls = [_query(index) for index in range(10)], [_query(3), _query(4)]
    mixed = with_control(queries, controls, 0.2, np.random.default_rng(8))
    assert {q.region.start[2] for q in mixed if q.strategy == CONTROL} == {3, 4}
    assert len({(q.case_id, q.region) for q in mixed}) == len(mixed) == 10


def test_a_small_share_is_right_over_many_rounds() -> None:
    rng = np.random.default_rng(9)
    queries, controls = [_query(i) for i in range(4)], [_query(20, case_id="two")]
    drawn = [
        sum(q.strategy == CONTROL for q in with_control(queries, controls, 0.1, rng))
        for _ in range(400)
    ]
    assert np.mean(drawn) == pytest.approx(0.4, abs=0.1)


def test_nonsense_is_refused() -> None:
    with pytest.raises(UsageError, match=r"from 0 to 0\.5"):
        with_control([_query(1)], [], 0.6, np.random.default_rng(0))
    with pytest.raises(UsageError, match="a cost above 0"):
        Answer(1, "entropy", 1.0, 0.0)
