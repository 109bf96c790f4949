"""A model with its calibration: what each of its predictions is expected to be worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from voxloop.compute.memory import require_bytes
from voxloop.predict.keeping import Seen
from voxloop.predict.postprocess import PostProcessing
from voxloop.predict.predictor import Prediction, Predictor
from voxloop.predict.quality.calibration import Calibration
from voxloop.predict.quality.estimate import CaseQuality, estimate_quality
from voxloop.predict.quality.features import CaseFeatures, disagreement_of, measure_prediction
from voxloop.predict.views import AS_IT_IS, VIEWS, View
from voxloop.volume.labels import BACKGROUND
from voxloop.volume.volume import Volume

__all__ = ["Assessor", "measure_case"]


@dataclass(frozen=True, eq=False)
class Assessor:
    """Estimates the quality of a model's predictions.

    Attributes:
        predictor: the model.
        calibration: of this model, or of models of folds of its cases.
        rules: that the calibration was made with.
    """

    predictor: Predictor
    calibration: Calibration
    rules: PostProcessing

    def __call__(self, channels: tuple[Volume, ...], prediction: Prediction) -> CaseQuality:
        """What the prediction of a case is expected to be worth once the rules are applied.

        The network looks at the case once more for each view of the calibration, and once more if
        the prediction does not hold the probabilities it was made of.

        Raises:
            DataError, LimitError: as `Predictor.probabilities`.
        """
        views = tuple(view for view in VIEWS if view.name in self.calibration.views)
        features = measure_case(self.predictor, channels, self.rules, views, prediction.seen)
        return estimate_quality(features, self.calibration)


def measure_case(
    predictor: Predictor,
    channels: tuple[Volume, ...],
    rules: PostProcessing,
    views: tuple[View, ...] = (),
    seen: Seen | None = None,
) -> CaseFeatures:
    """Predict a case and measure the prediction, as it is to be done for every case.

    Args:
        predictor: the model.
        channels: of the case.
        rules: of the calibration, applied to the prediction before it is measured.
        views: those of the calibration; those that the plan forbids are left out.
        seen: what the predictor said of the case, if that is known already.

    Raises:
        DataError, LimitError: as `Predictor.probabilities`.
    """
    values = predictor.plan.table.values
    disagreement: dict[int, float] = {}
    if views:
        members = (
            np.array([BACKGROUND, *values], dtype=np.uint8)[found.argmax(axis=0)]
            for found in predictor.each_member(channels, (AS_IT_IS, *views))
        )
        disagreement = disagreement_of(next(members), members, values)
    if seen is None:
        probabilities, prepared = predictor.probabilities(channels)
    else:
        require_bytes(2 * seen.probabilities.nbytes, "measuring a prediction")
        probabilities, prepared = seen.probabilities.astype(np.float32), seen.prepared
    return measure_prediction(
        probabilities,
        prepared.array,
        prepared.grid.spacing_mm,
        values,
        source_spacing_mm=prepared.source.canonical().spacing_mm,
        rules=rules,
        disagreement=disagreement,
    )
