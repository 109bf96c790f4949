"""The page around the drawing: surfaces, expected quality, reviews, and the less common tools."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from browser_samples import (
    CHECK,
    GRIDS,
    Desk,
    Scan,
    drawn,
    make_clinic,
    picture,
    point_of,
    ready,
    saved,
    settle,
    stroke,
    working,
)

pytestmark = pytest.mark.browser

DELIVERED, DOUBTED, THICK = "0-1", "0-2", "0-3"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A page on a workspace where a model has spoken."""
    with working(make_clinic(tmp_path_factory.mktemp("clinic"))) as found:
        yield found


def seen(page: Any, place: str) -> npt.NDArray[np.int64]:
    """What an element looks like, (height, width, 3), 0 to 255."""
    settle(page)
    return picture(page.locator(place)).astype(np.int64)


def blue(page: Any) -> int:
    """Pixels of the 3D view in the liver's colour, light or dark."""
    red, _, blue_ = np.moveaxis(seen(page, ".solid"), -1, 0)
    return int((blue_ > red + 40).sum())


def status_of(page: Any, query: str) -> str:
    found = page.evaluate(
        """async (id) => (await (await fetch('api/v1/queries')).json())
             .queries.find((query) => query.id === id).status""",
        query,
    )
    return str(found)


def test_a_case_shows_what_the_proposal_is_expected_to_be_worth(desk: Desk) -> None:
    page = desk.page
    desk.open("#/case/oblique")
    page.get_by_text("Check before use").wait_for()
    words = page.locator(".page").inner_text()
    assert CHECK in words
    assert "0.912 [0.853, 0.951]" in words
    assert "0.71 [0.42, 1.20]" in words
    assert "0.74 in part" in words
    desk.open("#/case/thick")
    page.get_by_text("No model has seen this case yet").wait_for()


def test_surfaces_are_turned_enlarged_and_hidden_by_keyboard(desk: Desk) -> None:
    page = desk.page
    desk.open("#/case/oblique")
    page.get_by_role("button", name="Show in 3D").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement.closest('.solid')")
    first, before = seen(page, ".solid"), blue(page)
    assert before > 0.05 * first.shape[0] * first.shape[1]
    page.keyboard.press("ArrowRight")
    assert (seen(page, ".solid") != first).any(axis=2).mean() > 0.02, "turned"
    for _ in range(3):
        page.keyboard.press("+")
    assert blue(page) > 1.2 * before
    page.get_by_role("checkbox", name="liver").focus()
    page.keyboard.press(" ")
    assert blue(page) < 0.2 * before
    page.evaluate("() => { window.seen = document.querySelector('.solid canvas'); }")
    desk.open("#/cases")
    page.get_by_role("heading", name="Cases").wait_for()
    assert page.evaluate("() => window.seen.getContext('webgl2').isContextLost()"), "given back"
    assert not desk.faults


def test_a_delivery_is_sent_back_drawn_again_and_accepted(desk: Desk) -> None:
    page = desk.page
    desk.open(f"#/query/{DELIVERED}")
    ready(page, DELIVERED)
    k = Scan(GRIDS["oblique"]).mark[2]
    stroke(page, (4, 6, k), (9, 20, k))
    delivered = drawn(page)
    saved(page)
    page.keyboard.press("Enter")
    page.wait_for_function("(id) => !location.hash.includes(id)", arg=DELIVERED)

    become(page, "Eve")
    desk.open("#/review")
    page.get_by_role("link", name="Look").click()
    page.wait_for_function("() => document.querySelector('.looking output')?.textContent")
    assert f"{k + 1} of 20" in page.locator(".looking output").inner_text()
    np.testing.assert_array_equal(looked_at(page)[:, :, k], delivered[:, :, k])
    page.keyboard.press("PageUp")
    assert f"{k + 2} of 20" in page.locator(".looking output").inner_text()
    page.get_by_role("button", name="Send back").click()
    page.keyboard.type("Too wide on the left.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_function("() => location.hash === '#/review'")
    page.get_by_text("None.").wait_for()
    assert status_of(page, DELIVERED) == "open"
    page.get_by_role("link", name="Sent back").click()
    page.get_by_role("cell", name="Too wide on the left.").wait_for()

    become(page, "Ada")
    desk.open(f"#/query/{DELIVERED}")
    ready(page, DELIVERED)
    assert "Sent back by Eve. Too wide on the left." in page.locator(".remark").inner_text()
    np.testing.assert_array_equal(drawn(page)[:, :, k], delivered[:, :, k])
    page.keyboard.press("Enter")
    page.wait_for_function("(id) => !location.hash.includes(id)", arg=DELIVERED)
    become(page, "Eve")
    desk.open("#/review")
    page.get_by_role("button", name="Accept").click()
    page.get_by_text("None.").wait_for()
    page.get_by_role("link", name="Accepted").click()
    page.get_by_role("link", name="Look").click()
    page.locator(".remark", has_text="Accepted by Eve").wait_for()
    assert not page.get_by_role("button", name="Accept").count(), "it was said already"
    become(page, "Ada")
    assert not desk.faults


def become(page: Any, name: str) -> None:
    """Say who works here from now on."""
    page.locator("#author").click()
    page.locator("#name").fill(name)
    page.keyboard.press("Enter")
    page.locator("dialog.name").wait_for(state="detached")


def looked_at(page: Any) -> npt.NDArray[np.uint8]:
    """The labels that a reviewer sees, on the file's own axes."""
    shape, flat = page.evaluate(
        """() => {
          const { grid, labels } = window.voxloop.desk.viewer;
          const [a, b, c] = grid.size;
          const at = (n) => [n % a, Math.floor(n / a) % b, Math.floor(n / (a * b))];
          return [grid.size, Array.from({ length: a * b * c },
            (_, n) => labels[grid.index(grid.toShown(at(n)))])];
        }"""
    )
    return np.asarray(flat, dtype=np.uint8).reshape(shape, order="F")


def test_the_threshold_brush_paints_within_the_range_only(desk: Desk) -> None:
    page = desk.page
    desk.open(f"#/query/{THICK}")
    ready(page, THICK)
    page.locator(".stage").focus()
    page.keyboard.press("t")
    page.locator("#low").fill("200")
    page.locator("#high").fill("1000")
    page.keyboard.press("Tab")
    page.locator("#size").fill("60")
    page.locator(".stage").focus()
    page.keyboard.press(" ")  # the cursor is in the middle, and the brush wider than the slice
    settle(page)
    array = Scan(GRIDS["thick"]).array()[:, :, 4]
    np.testing.assert_array_equal(drawn(page)[:, :, 4], (array >= 200) & (array <= 1000))
    page.keyboard.press("z")
    settle(page)
    assert not drawn(page).any()
    for _ in range(2):
        page.keyboard.press("Shift+ArrowLeft")  # to where the noise is
    page.keyboard.press("c")
    low, high = (float(page.locator(place).input_value()) for place in ("#low", "#high"))
    assert low < 100 < high < 200
    page.keyboard.press("Shift+3")
    page.wait_for_function("(id) => !location.hash.includes(id)", arg=THICK)
    assert status_of(page, THICK) == "skipped"


def test_the_uncertainty_lies_over_the_image_and_goes_again(desk: Desk) -> None:
    page = desk.page
    desk.open(f"#/query/{DOUBTED}")
    ready(page, DOUBTED)
    page.mouse.move(5, 5)  # no cursor over the image
    before = seen(page, ".picture")
    page.keyboard.press("u")
    page.wait_for_function("() => window.voxloop.view.viewer.nv.volumes.length === 2")
    red, green, _ = np.moveaxis(seen(page, ".picture"), -1, 0)
    violet = red > green + 25
    assert violet.mean() > 0.01
    assert not (before[..., 0] > before[..., 1] + 25).any()
    page.keyboard.press("u")
    page.wait_for_function("() => window.voxloop.view.viewer.nv.volumes.length === 1")
    np.testing.assert_array_equal(seen(page, ".picture"), before)


def test_slices_between_are_filled_by_distance_or_by_the_model_and_undone(desk: Desk) -> None:
    page = desk.page
    desk.open("#/label/oblique/2/8/0")
    ready(page)
    proposed = drawn(page)
    page.locator(".stage").focus()
    page.keyboard.press("m")
    for _ in range(4):
        page.keyboard.press("PageUp")
    page.keyboard.press("Delete")
    page.keyboard.press("g")
    page.wait_for_function("() => window.voxloop.view.painter.looked.size === 5")
    by_distance = drawn(page)
    assert by_distance[:, :, 9].any()
    assert not by_distance[:, :, 11:13].any(), "a label ends half-way to an empty slice"
    assert proposed[:, :, 11].any()
    page.keyboard.press("z")
    settle(page)
    np.testing.assert_array_equal(drawn(page)[:, :, 9:12], proposed[:, :, 9:12])
    page.keyboard.press("y")
    settle(page)
    page.evaluate("() => { window.voxloop.view.painter.looked = new Set([8, 12]); }")
    page.keyboard.press("v")
    page.wait_for_function("() => window.voxloop.view.painter.looked.size === 5")
    np.testing.assert_array_equal(drawn(page)[:, :, 9:12], proposed[:, :, 9:12])
    assert not desk.faults


@pytest.mark.parametrize("place", ["#/", "#/cases", "#/case/oblique", "#/dashboard", "#/review"])
def test_all_pages_show_the_focus_and_fit_at_twice_the_size(desk: Desk, place: str) -> None:
    page = desk.page
    desk.open("#/nowhere")
    page.get_by_text("There is no such page").wait_for()
    desk.open(place)
    page.wait_for_selector(".page h1")
    page.set_viewport_size({"width": 640, "height": 400})  # 1280 x 800 at 200 %
    try:
        page.locator("#skip").focus()
        reached = []
        for _ in range(60):
            page.keyboard.press("Tab")
            outline, name = page.evaluate(
                """() => {
                  const at = document.activeElement;
                  return at === document.body || at.id === 'skip' ? ['', '']
                    : [getComputedStyle(at).outlineStyle, at.id || at.textContent.trim()];
                }"""
            )
            if not outline:
                break
            reached.append(name)
            assert outline == "solid", f"no focus to be seen on {name}"
        assert len(reached) > 6
        page.keyboard.press("?")
        page.locator("dialog.help").wait_for()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 640
        help_ = page.locator("dialog.help").bounding_box()
        assert help_["x"] >= 0
        assert help_["x"] + help_["width"] <= 640
        page.keyboard.press("Escape")
        page.locator("dialog.help").wait_for(state="detached")
    finally:
        page.set_viewport_size({"width": 1000, "height": 420})


def test_a_point_of_the_page_is_where_the_page_says(desk: Desk) -> None:
    """The helpers of these tests click where the page puts a voxel, zoomed or not."""
    page = desk.page
    desk.open("#/label/oblique/2/13/0")
    ready(page)
    for key in ("Home", "+"):
        page.keyboard.press(key)
        settle(page)
        page.mouse.move(*point_of(page, (12, 14, 13)))
        settle(page)
        assert "voxel 12, 14, 13" in page.locator(".readout").inner_text()
