"""Look through a whole data set and report all that is wrong with it at once."""

from __future__ import annotations

from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.dataset.case import Case
from voxloop.dataset.dataset import Dataset
from voxloop.dataset.load import grid_problem, naming_case
from voxloop.errors import DataError, Problem
from voxloop.io.formats import read_geometry, read_label_map
from voxloop.volume.geometry import Geometry
from voxloop.volume.labels import LabelTable

__all__ = ["check_case", "check_dataset"]


def check_dataset(dataset: Dataset, progress: ProgressSink = silent) -> None:
    """Check every case; image voxels are not read, label maps are.

    Args:
        dataset: to look through.
        progress: told after each case.

    Raises:
        DataError: with the problems of all cases.
    """
    problems: list[Problem] = []
    for done, case in enumerate(dataset.cases, start=1):
        problems += check_case(case, dataset.labels, ignore_value=dataset.ignore_value)
        progress(Progress("checking", done, len(dataset.cases), case.id))
    if problems:
        raise DataError(problems)


def check_case(
    case: Case, labels: LabelTable | None, *, ignore_value: int | None = None
) -> list[Problem]:
    """Find what is wrong with a case: headers, grids that differ, unknown label values.

    Args:
        case: to check.
        labels: the label table; where None, only the grid of the label map is compared.
        ignore_value: as in `Dataset`.

    Returns:
        All problems, none if the case is fine.
    """
    problems: list[Problem] = []
    grid: Geometry | None = None
    files = [*case.channels, *([case.label_map] if case.label_map else [])]
    for path in files:
        try:
            with naming_case(case):
                if path == case.label_map and labels is not None:
                    found = read_label_map(path, labels, ignore_value=ignore_value).geometry
                else:
                    found = read_geometry(path)
        except DataError as error:
            problems += error.problems
            continue
        grid = grid or (found if path == case.channels[0] else None)
        different = grid_problem(case, path, grid, found) if grid else None
        problems += [different] if different else []
    return problems
