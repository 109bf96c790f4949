"""What the model of a round says of the workspace's cases, for those who choose among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from voxloop.active.doubt.acquisition import Members
from voxloop.active.strategies.context import FeatureArray
from voxloop.compute.progress import Progress, ProgressSink, silent
from voxloop.train.loop import MODEL_FILE
from voxloop.workspace.learning import read_scans
from voxloop.workspace.rounds import Round
from voxloop.workspace.workspace import Workspace

if TYPE_CHECKING:
    from voxloop.predict.predictor import Predictor

__all__ = ["RoundModel", "trained_model"]


@dataclass(frozen=True, eq=False)
class RoundModel:
    """The model of a round, applied to cases of its workspace by their id.

    Attributes:
        workspace: whose cases.
        predictor: the model.
    """

    workspace: Workspace
    predictor: Predictor

    def predictions(
        self, *, several: bool, progress: ProgressSink = silent
    ) -> Callable[[str], Members]:
        """A function that predicts a case: (M, C, I, J, K) on its own grid.

        Args:
            several: true for one member per view, so that they can disagree; else a single one.
            progress: told about each case.
        """
        from voxloop.predict.views import VIEWS

        total, seen = len(self.workspace.cases()), 0

        def predict(case_id: str) -> Members:
            nonlocal seen
            seen += 1
            progress(Progress("predicting", seen, total, case_id))
            channels = read_scans(self.workspace, self.workspace.case(case_id))
            if several:
                return self.predictor.members_on_grid(channels, VIEWS)
            return self.predictor.probabilities_on_grid(channels)[None]

        return predict

    def features(self, case_id: str) -> FeatureArray:
        """The network's features of a case, on a coarse grid that spans its own."""
        return self.predictor.features_on_grid(
            read_scans(self.workspace, self.workspace.case(case_id))
        )


def trained_model(workspace: Workspace, record: Round) -> RoundModel | None:
    """The model of a round; None where none was trained."""
    path = workspace.layout.member_folder(record.number, 0) / MODEL_FILE
    if not path.exists():
        return None
    from voxloop.model.checkpoint import load_checkpoint
    from voxloop.predict.predictor import Predictor

    return RoundModel(workspace, Predictor(load_checkpoint(path)))
