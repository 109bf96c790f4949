"""The report of a whole loop: how it learned, what it reached, how it looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from voxloop.mesh.certificate.certify import Certificate
from voxloop.mesh.mesh import Mesh
from voxloop.mesh.surfaces import mesh_labels
from voxloop.metrics.table import LabelScore, SliceScore, Summary
from voxloop.report.campaigns import share_table
from voxloop.report.content import Block, Figure, Report, Section, Text
from voxloop.report.curves import Curve, learning_curve_png
from voxloop.report.meshes import meshes_png
from voxloop.report.overlays import overlay_png
from voxloop.report.tables import case_table, certificate_table, summary_table
from voxloop.volume.volume import LabelMap, Volume

__all__ = ["ShownCase", "loop_report"]


@dataclass(frozen=True, eq=False)
class ShownCase:
    """A case that is shown in pictures.

    Attributes:
        id: the case.
        image: one channel of the scan.
        reference: what is taken as truth.
        prediction: what the model said.
        surfaces: label value to the prediction's surface.
        certificates: of these surfaces.
    """

    id: str
    image: Volume
    reference: LabelMap
    prediction: LabelMap
    surfaces: dict[int, Mesh]
    certificates: tuple[Certificate, ...]

    @classmethod
    def of(
        cls, case_id: str, image: Volume, reference: LabelMap, prediction: LabelMap
    ) -> ShownCase:
        """Make the surfaces of a prediction, too."""
        made = mesh_labels(prediction)
        return cls(
            case_id,
            image,
            reference,
            prediction,
            made.surfaces,
            tuple(made.certificates.values()),
        )

    @cached_property
    def overlay(self) -> bytes:
        """Slices of the scan with reference and prediction, as PNG."""
        return overlay_png(self.image, reference=self.reference, prediction=self.prediction)


def loop_report(
    curves: Sequence[Curve],
    summaries: Sequence[Summary],
    scores: Sequence[LabelScore],
    shown: Sequence[ShownCase],
    provenance: tuple[tuple[str, str], ...],
) -> Report:
    """Put together the report of a loop.

    Args:
        curves: one per strategy.
        summaries: of the last model, per volume and per slice.
        scores: of every test case.
        shown: cases to show in pictures.
        provenance: name and value of everything that made the numbers.
    """
    curve = Figure(
        learning_curve_png(curves),
        alt="Mean foreground Dice on the test cases over the share of annotated slices",
        caption="Bands: 95 % BCa interval over test cases. All arms start from the same slices "
        "and the same model. One seed: differences between arms prove nothing by themselves.",
    )
    labels = [score for score in scores if score.value != 0]
    return Report(
        title="Voxloop: from a few labelled slices to meshes",
        provenance=provenance,
        sections=(
            Section("Learning curve", (curve, share_table(curves))),
            Section("Scores on the test cases", _tables(summaries, labels)),
            *(_case_section(case) for case in shown),
            Section(
                "Limits",
                (Text("Research use only; not a medical device, not for diagnosis."),),
            ),
        ),
    )


def _tables(summaries: Sequence[Summary], labels: Sequence[LabelScore]) -> tuple[Block, ...]:
    overlap = ("dice", "iou")
    per_volume = [s for s in summaries if s.per == LabelScore.PER]
    per_slice = [s for s in summaries if s.per == SliceScore.PER]
    return (
        Text("Per volume: each case's whole volume is scored once."),
        summary_table(per_volume, overlap),
        summary_table(
            [s for s in per_volume if s.metric not in overlap],
            ("surface_dice", "hd95_mm", "assd_mm", "volume_difference_percent"),
        ),
        Text(
            "Per slice: each slice is scored, slices on which neither map has the label left out."
        ),
        summary_table(per_slice, overlap),
        case_table(labels),
    )


def _case_section(case: ShownCase) -> Section:
    overlay = Figure(
        case.overlay,
        alt=f"Slices of {case.id} with the reference and the prediction",
    )
    blocks: list[Block] = [overlay]
    if case.surfaces:
        picture = meshes_png(case.surfaces, case.prediction.labels)
        blocks += [
            Figure(picture, alt=f"Surfaces of the labels predicted for {case.id}"),
            certificate_table(case.certificates),
        ]
    return Section(f"Case {case.id}", tuple(blocks))
