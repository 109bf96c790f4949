"""A strategy of one's own, in a file outside of the package: the one in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pools import context_of, made_up_prediction, pool_of

from voxloop.active.strategies.registry import find_strategy
from voxloop.errors import UsageError

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-strategy.md"


@pytest.fixture
def documented(tmp_path: Path) -> Path:
    """The page's program, saved as it says."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(code.strip().splitlines()) <= 26  # twenty lines and the spaces between
    file = tmp_path / "smallest_first.py"
    file.write_text(code)
    return file


def test_the_documented_strategy_is_found_by_file_and_chooses(documented: Path) -> None:
    strategy = find_strategy(f"{documented}:SmallestFirst")
    pool = pool_of(8, 5, 6, taken=(2,))
    context = context_of(pool, 4, predict=made_up_prediction(pool))
    queries = strategy.query(context)
    assert len({(q.case_id, q.region) for q in queries}) == 4
    assert all(q.strategy == "smallest_first" and q.reason.startswith("doubt") for q in queries)
    open_regions = {(c.case_id, c.region(i)) for c in pool.cases for i in c.open_regions}
    assert {(q.case_id, q.region) for q in queries} <= open_regions


def test_what_is_no_strategy_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "class Half:\n    key = 'half'\n\n\nclass Taken:\n    key = 'entropy'\n"
        "    needs_model = False\n    query = None\n"
    )
    with pytest.raises(UsageError, match="lacks needs_model, query"):
        find_strategy(f"{file}:Half")
    with pytest.raises(UsageError, match="calls itself 'entropy'"):
        find_strategy(f"{file}:Taken")
    with pytest.raises(UsageError, match=r"no strategy at '.*:Missing'"):
        find_strategy(f"{file}:Missing")
    with pytest.raises(UsageError, match="no strategy at 'no_such_module:X'"):
        find_strategy("no_such_module:X")
