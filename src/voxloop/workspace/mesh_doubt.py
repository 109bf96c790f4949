"""Files that tell how sure a model is: entropies, or probabilities of each label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from voxloop.compute.memory import require_bytes
from voxloop.errors import DataError, Problem
from voxloop.io.formats import SUFFIXES, strip_suffix
from voxloop.mesh.extraction.odds import EntropyOdds, Odds, ProbabilityOdds
from voxloop.mesh.extraction.probability import label_probability
from voxloop.mesh.formats.names import file_stems
from voxloop.volume.labels import LabelTable
from voxloop.volume.volume import LabelMap, Volume

__all__ = ["doubt_files", "odds_from", "probabilities_from"]

_ROUNDING = 0.01


def doubt_files(
    place: Path | None, label_maps: Iterable[Path], labels: LabelTable
) -> dict[Path, tuple[Path, ...]]:
    """For each label map one file of its doubt, or one file for each label of the table.

    Args:
        place: a file, if there is one label map; else a folder with `<case>.nii.gz` or, for every
            label, `<case>_<label>.nii.gz`, with names written as those of STL files are. Nothing
            is looked for where None.
        label_maps: files of the cases.
        labels: their table.

    Raises:
        DataError: if some are missing; all cases are named.
    """
    files = list(label_maps)
    if place is None:
        return {}
    if place.is_file() and len(files) == 1:
        return {files[0]: (place,)}
    found: dict[Path, tuple[Path, ...]] = {}
    problems = []
    stems = file_stems(list(labels.by_name))
    for path in files:
        case_id = strip_suffix(path.name)
        whole = _named(place, case_id)
        each = tuple(_named(place, f"{case_id}_{stem}") for stem in stems)
        there = tuple(file for file in each if file is not None)
        if whole is not None:
            found[path] = (whole,)
        elif len(there) == len(stems):
            found[path] = there
        else:
            problems.append(_missing(case_id, place, stems, len(there)))
    if problems:
        raise DataError(problems)
    return found


def odds_from(doubt: Sequence[Volume], label_map: LabelMap) -> Odds | None:
    """Where between voxels surfaces run.

    Args:
        doubt: entropies as `segment --uncertainty` writes them, or the probability of the one
            label that is present, or of each label of the table in ascending order of value.
        label_map: of the same grid.

    Returns:
        None if there is nothing to place: no voxel is labelled, or `doubt` is empty.

    Raises:
        DataError: if grids or numbers do not fit, or there are too few.
        LimitError: if probabilities of so many labels do not fit into memory.
    """
    values, present = label_map.labels.values, _present(label_map)
    if not doubt or not present:
        return None
    if _is_entropy(doubt):
        # for its checks of grid and range
        label_probability(doubt[0], label_map, present[0], classes=1 + len(values))
        return EntropyOdds(doubt[0], label_map, 1 + len(values))
    require_bytes(4 * (1 + len(doubt)) * label_map.array.size, "placing surfaces by probabilities")
    known = {value: probabilities_from(doubt, label_map, value).array for value in
             (values if len(doubt) > 1 else present)}  # fmt: skip
    outside = 1 - np.sum(list(known.values()), axis=0, dtype=np.float32)
    if outside.min() < -_ROUNDING:
        raise _bad("probabilities that sum to 1 at most", f"{1 - outside.min():.3g} at a voxel")
    nowhere = np.broadcast_to(np.float32(0), label_map.geometry.shape)
    each = (known.get(value, nowhere) for value in values)
    return ProbabilityOdds.of([np.maximum(outside, 0), *each], label_map)


def probabilities_from(doubt: Sequence[Volume], label_map: LabelMap, value: int) -> Volume:
    """How likely one label is, voxel by voxel.

    Args:
        doubt: see `odds_from`.
        label_map: of the same grid.
        value: the label.

    Raises:
        DataError: if grids or numbers do not fit, or there are too few.
    """
    values = label_map.labels.values
    own = doubt[0]
    if len(doubt) > 1 and len(doubt) == len(values):
        own = doubt[values.index(value)]
    elif not _is_entropy(doubt) and (len(doubt) > 1 or len(_present(label_map)) > 1):
        raise _bad(
            f"entropies, which hold for all labels, or probabilities of each of {len(values)}",
            f"probabilities of {len(doubt)}",
        )
    return label_probability(own, label_map, value, classes=1 + len(values))


def _is_entropy(doubt: Sequence[Volume]) -> bool:
    return len(doubt) == 1 and np.issubdtype(doubt[0].array.dtype, np.integer)


def _present(label_map: LabelMap) -> list[int]:
    seen = np.zeros(256, dtype=bool)
    for slab in label_map.array:
        seen[slab] = True
    return [value for value in label_map.labels.values if seen[value]]


def _named(folder: Path, stem: str) -> Path | None:
    names = (folder / f"{stem}{suffix}" for suffix in SUFFIXES)
    return next((name for name in names if name.is_file()), None)


def _missing(case_id: str, place: Path, stems: Sequence[str], there: int) -> Problem:
    each = ", ".join(f"{case_id}_{stem}.nii.gz" for stem in stems)
    return Problem(
        f'case "{case_id}"',
        f"its uncertainty in {place}, {case_id}.nii.gz or {each}",
        f"{there} of them" if there else "no file of its name",
        "give a folder with those of each case, e.g. that of `segment --uncertainty`",
    )


def _bad(expected: str, found: str) -> DataError:
    remedy = "give the file of `segment --uncertainty`, or a folder with one file for each label"
    return DataError(Problem("uncertainty", expected, found, remedy))
