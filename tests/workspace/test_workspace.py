from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxloop.errors import DataError, UsageError
from voxloop.volume.labels import LabelTable
from voxloop.workspace.actions.init import init
from voxloop.workspace.delivery import LookedAt
from voxloop.workspace.settings import Settings, parse_settings, render_settings
from voxloop.workspace.workspace import Workspace
from workspace_samples import LABELS, make_workspace

printable = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1)
names = printable.filter(
    lambda t: t.strip() and t.isprintable() and t not in {"background", "ignore"}
)


@given(
    name=names,
    labels=st.dictionaries(st.integers(1, 254), names, min_size=1).filter(
        lambda d: len(set(d.values())) == len(d)
    ),
    author=st.text(st.characters(exclude_categories=["Cs"])),
    policy=st.sampled_from(LookedAt),
)
def test_settings_come_back_as_they_were_written(
    name: str, labels: dict[int, str], author: str, policy: LookedAt
) -> None:
    settings = Settings(name, LabelTable(labels), author, policy)
    assert parse_settings(render_settings(settings)) == settings


GOOD = render_settings(Settings("spine", LABELS))


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("author", "autor", "'autor'; did you mean 'author'"),
        ("name =", "nmae =", "'nmae'; did you mean 'name'"),
        ('"auto"', '"autos"', "'autos'; did you mean 'auto'"),
        ("format = 1", "format = '1'", "expected format = 1, found '1'"),
        ("= 2", "= 1", "every label value once"),
        ("= 2", "= 300", "label values from 1 to 254, found 300"),
        ("= 2", '= "2"', "name = value"),
        ("[labels]", "[labels", "valid TOML"),
    ],
)
def test_a_wrong_setting_is_an_error_that_says_what_is_right(
    old: str, new: str, finding: str
) -> None:
    with pytest.raises(DataError) as caught:
        parse_settings(GOOD.replace(old, new))
    assert finding in str(caught.value)
    assert all(problem.where.startswith("voxloop.toml") for problem in caught.value.problems)


def test_a_workspace_of_a_later_version_is_refused() -> None:
    with pytest.raises(UsageError, match="is of format 2, this Voxloop knows 1; update it"):
        parse_settings(GOOD.replace("format = 1", "format = 2"))


def test_a_folder_that_is_no_workspace_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is no workspace.*voxloop init"):
        Workspace.open(tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_workspace_is_made_once_beside_other_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    result = init(tmp_path, ["liver", "spleen"], name="one")
    assert Workspace.open(tmp_path) == result.workspace
    assert result.to_json()["labels"] == {"liver": 1, "spleen": 2}
    with pytest.raises(UsageError, match="is a workspace already"):
        init(tmp_path, ["other"])
    assert Workspace.open(tmp_path).name == "one"
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_an_unknown_case_is_named(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, "a")
    with pytest.raises(UsageError, match="there is no case 'b'"):
        workspace.case("b")
