from __future__ import annotations

import io

import matplotlib.image
import numpy as np
import pytest

from solids import ball
from voxloop.mesh.colour_scale import ColourScale
from voxloop.mesh.shop.alteration import Alteration
from voxloop.report.content import Figure, Table, Text
from voxloop.report.html import render_html
from voxloop.report.shading import ANTERIOR, Camera, shade
from voxloop.report.surfaces import ShownSurfaces, deviation_mm, surfaces_report
from voxloop.report.value_map import value_map_png
from voxloop.volume.labels import LabelTable

LABELS = LabelTable.from_names("cyst")
BALL = ball(8.0, segments=24)


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxloop.report.meshes._PANEL_PX", 80)


def test_colours_run_into_each_other_between_vertices() -> None:
    share = (BALL.vertices_mm[:, :1] + 8) / 16
    colours = np.concatenate([share, np.zeros_like(share), 1 - share], axis=1)
    pixels = shade([BALL], [colours], Camera(ANTERIOR, (0.0, 0.0, 0.0), 0.25, 80))
    row = pixels[40, 12:68]
    assert (row[:, 1] < 0.35).all()
    # from the front the patient's right (+x, red) lies at the left
    balance = row[:, 0] - row[:, 2]
    assert balance[0] > 0.3
    assert balance[-1] < -0.3
    assert (np.diff(balance[4:-4]) < 0.05).all()


def test_a_map_has_a_scale_of_its_own_colours() -> None:
    values = BALL.vertices_mm[:, 2] / 10
    pixels = matplotlib.image.imread(io.BytesIO(value_map_png([BALL], [values], "height")))
    scale = ColourScale.of_values(values)
    ends = scale.rgb([scale.low_mm, scale.high_mm]) / 255
    for colour in ends:
        assert (np.abs(pixels[-75:, :, :3] - colour).max(axis=2) < 0.02).sum() > 20


def test_deviations_are_measured_from_the_surface_before_smoothing() -> None:
    outer = BALL.moved(BALL.vertices_mm * 1.05)
    assert np.median(deviation_mm(outer, BALL)) == pytest.approx(0.4, rel=0.02)
    assert np.median(deviation_mm(BALL, outer)) == pytest.approx(-0.4, rel=0.05)


def test_the_page_says_what_was_altered_what_is_unsure_and_what_it_is_not() -> None:
    made = tuple(Alteration("wall thickened", (1.0, 2.0, 3.0), 0.1) for _ in range(230))
    shown = ShownSurfaces(
        "case <7>", LABELS, {1: BALL}, {1: BALL}, (), (), {"cyst": made},
        {1: np.full(len(BALL.vertices_mm), 0.7)}, warnings=("cyst: too thin",),
    )  # fmt: skip
    report = surfaces_report(shown, (("tolerance", "0.3 mm"),))
    blocks = [block for section in report.sections for block in section.blocks]
    tables = [block for block in blocks if isinstance(block, Table)]
    assert tables[0].rows == (("cyst", "0.70", "0.70", "0.70"),)
    assert tables[1].rows[0] == ("cyst", "wall thickened", "0.1 mm", "1.0, 2.0, 3.0")
    texts = " ".join(block.paragraph for block in blocks if isinstance(block, Text))
    assert "30 more are listed" in texts
    assert "cyst: too thin" in texts
    assert "not a medical device" in texts
    assert sum(isinstance(block, Figure) for block in blocks) == 3
    page = render_html(report)
    assert "Surfaces of case &lt;7&gt;" in page


def test_a_case_without_surfaces_has_a_page_all_the_same() -> None:
    report = surfaces_report(ShownSurfaces("a", LABELS, {}, {}, ()), ())
    assert [s.title for s in report.sections] == ["Warnings", "Altered on purpose", "Limits"]
