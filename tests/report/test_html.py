from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from phantoms import ellipsoid_mask, oblique_geometry
from voxloop.errors import UsageError
from voxloop.mesh.certificate.certify import Tolerances
from voxloop.mesh.surfaces import mesh_label
from voxloop.metrics.score import LabelScore, score_case
from voxloop.metrics.table import summarise
from voxloop.report.content import Figure, Report, Section, Table, Text
from voxloop.report.curves import Curve, learning_curve_png
from voxloop.report.html import render_html, write_html
from voxloop.report.tables import case_table, certificate_table, summary_table
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap

VOID = {"meta", "img", "br", "hr", "link"}
EVIL = '<script>alert("1")</script>'


class Outline(HTMLParser):
    """Reads strictly: every element that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.addresses: list[str] = []
        self.seen: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def png() -> bytes:
    return learning_curve_png([Curve("a", (0.1, 0.2), (0.5, 0.6), (0.4, 0.5), (0.6, 0.7))])


@pytest.fixture(scope="module")
def report(png: bytes) -> Report:
    table = Table("Scores", ("case", "Dice"), ((EVIL, "0.91"), ("b", "\u2013")))
    blocks = (Text(f"Case {EVIL}"), Figure(png, f'a "curve" {EVIL}', "two points"), table)
    return Report(EVIL, (("seed", "7"), ("path", EVIL)), (Section("Curves", blocks),))


def read(page: str) -> Outline:
    outline = Outline()
    outline.feed(page)
    outline.close()
    assert outline.open == []
    return outline


def test_the_page_is_whole_and_needs_nothing_from_outside(report: Report, png: bytes) -> None:
    page = render_html(report)
    outline = read(page)
    assert page.startswith("<!DOCTYPE html>")
    assert not re.search(r"https?://|url\(|@import", page)
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in outline.addresses)
    assert "default-src 'none'" in page
    (image,) = outline.images
    assert base64.b64decode((image["src"] or "").partition(",")[2]) == png
    assert (image["alt"] or "").startswith('a "curve"')


def test_names_are_escaped_wherever_they_stand(report: Report) -> None:
    page = render_html(report)
    assert "script" not in read(page).seen
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 6  # title twice, provenance, text, alt, cell


def test_headings_links_and_row_names_serve_a_screen_reader(report: Report) -> None:
    page = render_html(report)
    assert '<a href="#section-1">Curves</a>' in page
    assert '<h2 id="section-1">Curves</h2>' in page
    assert '<th scope="row">b</th>' in page
    assert '<html lang="en">' in page


def test_the_file_is_written_as_utf8(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "reports" / "report.html"
    write_html(path, report)
    assert path.read_text(encoding="utf-8") == render_html(report)


def test_content_that_would_mislead_is_refused(png: bytes) -> None:
    with pytest.raises(UsageError, match="2 cells in every row"):
        Table("t", ("a", "b"), (("1",),))
    with pytest.raises(UsageError, match="description of what is to be seen"):
        Figure(png, "  ")
    with pytest.raises(UsageError, match="not a PNG"):
        Figure(b"GIF89a", "a picture")


def test_a_mean_is_never_shown_without_its_interval_or_the_reason() -> None:
    geometry = oblique_geometry((20, 20, 14))
    names = LabelTable.from_names("ball", "absent")
    truth = LabelMap(ellipsoid_mask(geometry).astype(np.uint8), geometry, names)
    scores: list[LabelScore] = []
    for number in range(6):
        mask = ellipsoid_mask(geometry, (6.0, 8.0, 9.0 - 0.5 * number)).astype(np.uint8)
        scores += score_case(f"case_{number}", truth, LabelMap(mask, geometry, names))
    summaries = summarise(scores, rng=np.random.default_rng(0))
    rows = {row[0]: row[1] for row in summary_table(summaries).rows}
    assert re.fullmatch(r"0\.\d{3} \[0\.\d{3}, 0\.\d{3}\], n = 6", rows["ball"])
    assert rows["absent"] == "n/a (no case to estimate from); 6 undefined"
    few = summary_table(summarise(scores[:4], rng=np.random.default_rng(0)))
    assert re.match(r"0\.\d{3} \(n = 2 is too small to claim", few.rows[0][1])
    assert "95%" in few.caption
    cases = case_table(scores)
    assert len(cases.rows) == 12
    assert cases.rows[1][:3] == ("case_0", "absent", "n/a")
    assert cases.header[:4] == ("case", "label", "Dice", "surface Dice")


def test_a_certificate_says_passed_or_why_not() -> None:
    geometry = oblique_geometry((20, 20, 14))
    mask = ellipsoid_mask(geometry).astype(np.uint8)
    labels = LabelMap(mask, geometry, LabelTable.from_names("ball"))
    _, good = mesh_label(labels, 1)
    _, bad = mesh_label(labels, 1, Tolerances(p95_vox=0.001))
    rows = certificate_table([good, bad]).rows
    assert rows[0][0] == "ball"
    assert rows[0][1] == "passed"
    assert rows[1][1].startswith("failed: surface distance p95")


def test_a_caption_is_no_part_of_a_table_that_may_be_wider_than_the_page() -> None:
    caption = "Words " * 60
    tables = tuple(Table(f"{caption}{n}", ("a", "b"), (("x", "y" * 41),)) for n in (1, 2))
    page = render_html(Report("r", (), (Section("one", tables), Section("two", tables[:1]))))
    read(page)
    told = re.findall(r'<p class="caption" id="([^"]+)">Words', page)
    assert len(told) == len(set(told)) == 3
    for name in told:
        assert page.count(f'aria-labelledby="{name}"') == 2
    assert "<caption>Words" not in page
    assert 'class="long"' in page
