"""A simulated annotator: answers queries from reference label maps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from voxloop.active.query import Query
from voxloop.active.trial.mistakes import AnnotatorError
from voxloop.dataset.annotation import Annotation, annotate_region
from voxloop.errors import DataError, Problem
from voxloop.volume.boxes import Box
from voxloop.volume.volume import LabelMap

__all__ = ["Oracle"]


@dataclass(frozen=True, eq=False)
class Oracle:
    """Labels exactly what is asked for, in no time: as the reference has it, or with mistakes.

    Attributes:
        references: gives a case's reference label map; called once per case and answer, so it
            may read from disk.
        asked: label values looked for; None for all.
        error: the mistakes made; none where None.
    """

    references: Callable[[str], LabelMap]
    asked: frozenset[int] | None = None
    error: AnnotatorError | None = None

    def answer(self, queries: Iterable[Query]) -> dict[str, Annotation]:
        """One annotation per case, covering all of its queries.

        Args:
            queries: in any order, several per case allowed.

        Returns:
            Case id to annotation, sorted by id.

        Raises:
            DataError: if a region does not lie on the case's grid, or the reference itself
                knows nothing of what was asked.
        """
        regions: dict[str, list[Box]] = {}
        for query in queries:
            regions.setdefault(query.case_id, []).append(query.region)
        return {case_id: self._look(case_id, regions[case_id]) for case_id in sorted(regions)}

    def _look(self, case_id: str, regions: list[Box]) -> Annotation:
        reference = self.references(case_id)
        where, shape = f'case "{case_id}"', reference.geometry.shape
        problems = [
            Problem(where, f"regions inside {shape}", f"{region}", "ask on the case's own grid")
            for region in regions
            if min(region.start) < 0 or any(b > n for b, n in zip(region.stop, shape, strict=True))
        ]
        if problems:
            raise DataError(problems)
        try:
            seen = self._as_seen(case_id, reference, regions)
            return annotate_region(seen, regions, self.asked)
        except DataError as error:
            named = [replace(p, where=f"{where}, reference: {p.where}") for p in error.problems]
            raise DataError(named) from error

    def _as_seen(self, case_id: str, reference: LabelMap, regions: list[Box]) -> LabelMap:
        if self.error is None or self.error.none:
            return reference
        seen = np.array(reference.array)
        for region in regions:
            seen[region.slices] = self.error.answer(case_id, reference, region)
        return replace(reference, array=seen)
