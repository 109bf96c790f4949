"""The page in a real browser: what is drawn on the screen is what lies on the disk."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from browser_samples import (
    ASKED,
    GRIDS,
    MARK,
    Desk,
    Scan,
    drawn,
    make_desk,
    picture,
    point_of,
    ready,
    saved,
    settle,
    stroke,
    working,
)

from voxloop.volume.labels import IGNORE

pytestmark = pytest.mark.browser

QUERY_OF = {name: f"0-{number}" for number, name in enumerate(ASKED, start=1)}
LPS_MIDDLE, NOTHING, SKIPPED = "0-6", "0-7", "0-8"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A page on a workspace with all grids."""
    with working(make_desk(tmp_path_factory.mktemp("page"))) as found:
        yield found


def on_disk(desk: Desk, name: str) -> npt.NDArray[np.uint8]:
    """What the newest revision of a case says."""
    revision = desk.workspace.annotations_of(name)[-1]
    return np.asarray(desk.workspace.load(revision).label_map.array)


def bright_area(desk: Desk) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what is white on the screen: the mark, and nothing else."""
    desk.page.evaluate(f"window.voxloop.view.viewer.setRange({MARK * 0.4}, {MARK * 0.6})")
    settle(desk.page)
    rect = desk.page.locator("canvas.picture").bounding_box()
    shown = picture(desk.page)
    left, top = int(rect["x"]) + 24, int(rect["y"]) + 24  # letters at the edges name directions
    right, bottom = int(rect["x"] + rect["width"]) - 24, int(rect["y"] + rect["height"]) - 24
    rows, columns = np.nonzero((shown[top:bottom, left:right] > 127).all(axis=2))
    return (
        float(left + columns.min()), float(top + rows.min()),
        float(left + columns.max() + 1), float(top + rows.max() + 1),
    )  # fmt: skip


def slice_of(name: str, index: int) -> tuple[slice | int, ...]:
    """Index of a slice across the axis that is asked for."""
    place: list[slice | int] = [slice(None)] * 3
    place[ASKED[name]] = index
    return tuple(place)


@pytest.mark.parametrize("name", GRIDS)
def test_a_click_on_what_is_seen_labels_that_voxel_on_the_disk(desk: Desk, name: str) -> None:
    """The mark is found by its pixels, so the page's own idea of where voxels lie is tested too."""
    desk.open(f"#/query/{QUERY_OF[name]}")
    ready(desk.page, QUERY_OF[name])
    scan = Scan(GRIDS[name])
    left, top, right, bottom = bright_area(desk)
    desk.page.evaluate("() => { window.voxloop.view.painter.size = 1; }")
    for x in (0.25, 0.75):
        for y in (0.25, 0.75):
            desk.page.mouse.click(left + x * (right - left), top + y * (bottom - top))
    saved(desk.page)
    in_browser = drawn(desk.page)

    _assert_anatomical(desk, scan, ((left + right) / 2, (top + bottom) / 2), ASKED[name])
    desk.page.keyboard.press("Enter")
    desk.page.wait_for_function("(id) => !location.hash.includes(id)", arg=QUERY_OF[name])

    stored = on_disk(desk, name)
    asked = slice_of(name, scan.mark[ASKED[name]])
    truth = (scan.array() == MARK).astype(np.uint8)
    if name == "lps":  # the one with a proposal, which lies elsewhere in this slice
        truth = np.maximum(truth, in_browser)
        assert (in_browser[asked][truth[asked] == 1] == 1).all()
    expected = np.full(scan.geometry.shape, IGNORE, dtype=np.uint8)
    expected[asked] = truth[asked]
    np.testing.assert_array_equal(stored, expected)
    np.testing.assert_array_equal(stored[asked], in_browser[asked])
    assert not desk.faults


def _assert_anatomical(desk: Desk, scan: Scan, seen: tuple[float, float], axis: int) -> None:
    """The patient's right is on the left of the screen, front or head at the top."""
    rect = desk.page.locator("canvas.picture").bounding_box()
    centre = (rect["x"] + rect["width"] / 2, rect["y"] + rect["height"] / 2)
    at = scan.geometry.to_world([np.array(scan.mark) + 0.5])[0]
    middle = scan.geometry.to_world([(np.array(scan.geometry.shape) - 1) / 2])[0]
    towards_mm = at - middle  # right, front and head are positive
    along = [int(np.argmax(np.abs(scan.geometry.matrix[:3, a]))) for a in range(3)]
    up = 1 if along[axis] == 2 else 2
    assert (seen[1] < centre[1]) == (towards_mm[up] > 0)
    across = 1 if along[axis] == 0 else 0
    on_the_left = seen[0] < centre[0]
    assert on_the_left == (towards_mm[across] > 0 if across == 0 else towards_mm[across] < 0)
    left, top = "R" if across == 0 else "P", "S" if up == 2 else "A"
    sides = desk.page.evaluate("() => window.voxloop.view.viewer.sides()")
    assert (sides["left"], sides["top"]) == (left, top)


def test_many_strokes_are_undone_and_redone_and_survive_a_reload(desk: Desk) -> None:
    page = desk.page
    desk.open(f"#/query/{LPS_MIDDLE}")
    ready(page, LPS_MIDDLE)
    proposed = drawn(page)
    assert set(np.unique(proposed)) == {0, 1}, "the proposal is the first drawing"
    page.keyboard.press("2")
    page.evaluate("() => { window.voxloop.view.painter.size = 2; }")
    states = [proposed]
    for number in range(10):  # NiiVue itself goes back eight
        stroke(page, (3 + number, 4, 10), (3 + number, 20, 10))
        states.append(drawn(page))
    for before in reversed(states[:-1]):
        page.keyboard.press("z")
        settle(page)
        np.testing.assert_array_equal(drawn(page), before)
    for _ in states[1:]:
        page.keyboard.press("Control+y")
    settle(page)
    np.testing.assert_array_equal(drawn(page), states[-1])
    assert page.locator(".toast > span").all_inner_texts() == ["Redone: brush."]
    saved(page)

    page.reload()
    ready(page, LPS_MIDDLE)
    np.testing.assert_array_equal(drawn(page), states[-1])
    page.keyboard.press("Enter")
    page.wait_for_function("(id) => !location.hash.includes(id)", arg=LPS_MIDDLE)
    np.testing.assert_array_equal(on_disk(desk, "lps")[:, :, 10], states[-1][:, :, 10])
    assert not desk.faults


def test_without_the_server_strokes_wait_and_are_sent_later(desk: Desk) -> None:
    page = desk.page
    desk.open(f"#/query/{NOTHING}")
    ready(page, NOTHING)
    page.route("**/draft*", lambda route: route.abort())
    stroke(page, (5, 5, 9), (9, 5, 9))
    page.wait_for_selector(".save[data-state=offline]")
    assert page.evaluate("() => window.voxloop.view.autosave.waiting.length") == 1
    page.unroute("**/draft*")
    saved(page)
    kept = page.evaluate("() => window.voxloop.view.autosave.count")
    assert kept == 1


def test_everything_works_by_keyboard(desk: Desk) -> None:
    page = desk.page
    desk.open(f"#/query/{NOTHING}")
    ready(page, NOTHING)
    before = drawn(page)
    page.locator(".stage").focus()
    page.keyboard.press("2")
    for _ in range(4):
        page.keyboard.press("[")
    at = page.evaluate(
        "() => { const v = window.voxloop.view; return v.viewer.grid.toFile(v.stage.cursor); }"
    )
    page.keyboard.press(" ")
    page.keyboard.press("p")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("p")
    page.keyboard.press("ArrowDown")
    settle(page)
    changed = np.argwhere(drawn(page) != before)
    assert len(changed) == 3, "one by Space, two more with the pen down"
    assert at in changed.tolist()
    page.keyboard.press("?")
    assert page.locator("dialog.help").is_visible()
    page.keyboard.press("Escape")
    page.locator("dialog.help").wait_for(state="detached")
    page.keyboard.press("n")
    page.wait_for_function("(id) => !location.hash.includes(id)", arg=NOTHING)
    assert (on_disk(desk, "ras")[:, :, 9] == 0).all()

    desk.open(f"#/query/{SKIPPED}")
    ready(page, SKIPPED)
    page.keyboard.press("x")
    page.locator("dialog.reasons").wait_for()
    page.keyboard.press("2")
    page.wait_for_function("(id) => !location.hash.includes(id)", arg=SKIPPED)
    told = page.evaluate(
        "async () => (await (await fetch('api/v1/queries')).json()).queries.map((q) => q.status)"
    )
    assert told[-2:] == ["answered", "skipped"]


def test_every_control_shows_its_focus(desk: Desk) -> None:
    page = desk.page
    desk.open("#/label/ras/2/11/0")
    ready(page)
    page.locator("#skip").focus()
    seen = set()
    for _ in range(45):
        page.keyboard.press("Tab")
        outline, name = page.evaluate(
            """() => {
              const at = document.activeElement;
              const style = getComputedStyle(at);
              return at === document.body ? ['', ''] :
                [style.outlineStyle, at.id || at.textContent.trim() || at.className];
            }"""
        )
        if not name or name in seen:
            break
        seen.add(name)
        assert outline == "solid", f"no focus to be seen on {name}"
    assert {"Queue", "size", "opacity", "slice"} <= seen


def test_at_twice_the_size_nothing_is_cut_off(desk: Desk) -> None:
    page = desk.page
    page.set_viewport_size({"width": 640, "height": 400})  # 1280 x 800 at 200 %
    try:
        for place in ("#/label/ras/2/11/0", "#/", "#/dashboard", "#/case/ras"):
            desk.open(place)
            page.wait_for_selector(".annotate[data-ready=yes]" if "label" in place else ".page")
            settle(page)
            wide = page.evaluate("() => document.documentElement.scrollWidth")
            assert wide <= 640, place
    finally:
        page.set_viewport_size({"width": 1000, "height": 420})
    assert not desk.faults


def test_labelling_without_a_query_submits_the_slices_that_were_touched(desk: Desk) -> None:
    page = desk.page
    desk.open("#/label/thick/2/2/0")
    ready(page)
    before = [page.evaluate("() => window.voxloop.view.viewer.slice")]
    stroke(page, (8, 8, 2), (16, 8, 2), (16, 16, 2), (8, 16, 2), (8, 8, 2))
    page.keyboard.press("f")
    page.mouse.click(*point_of(page, (12, 12, 2)))
    for _ in range(4):
        page.keyboard.press("PageUp")
    settle(page)
    page.keyboard.press("b")
    stroke(page, (10, 10, 6), (14, 10, 6), (14, 14, 6), (10, 14, 6), (10, 10, 6))
    page.keyboard.press("f")
    page.mouse.click(*point_of(page, (12, 12, 6)))
    page.keyboard.press("g")
    page.wait_for_function("() => window.voxloop.view.painter.looked.size === 5")
    saved(page)
    in_browser = drawn(page)
    assert in_browser[12, 12, 2:7].tolist() == [1] * 5, "filled between the two"
    page.keyboard.press("Enter")
    page.wait_for_function("() => location.hash.startsWith('#/case/')")
    stored = on_disk(desk, "thick")
    np.testing.assert_array_equal(stored[:, :, 2:7], in_browser[:, :, 2:7])
    assert (stored[:, :, 7:] == IGNORE).all()
    assert before == [2]
