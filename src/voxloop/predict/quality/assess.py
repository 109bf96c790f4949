"""A model with its calibration: what each of its predictions is expected to be worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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

    def __call__(self, channels: tuple[Volume, ...], _prediction: Prediction) -> CaseQuality:
        """What the prediction of a case is expected to be worth once the rules are applied.

        The network looks at the case once more, since a prediction does not hold probabilities,
        and once more for each view of the calibration.

        Raises:
            DataError, LimitError: as `Predictor.probabilities`.
        """
        views = tuple(view for view in VIEWS if view.name in self.calibration.views)
        features = measure_case(self.predictor, channels, self.rules, views)
        return estimate_quality(features, self.calibration)


def measure_case(
    predictor: Predictor,
    channels: tuple[Volume, ...],
    rules: PostProcessing,
    views: tuple[View, ...] = (),
) -> CaseFeatures:
    """Predict a case and measure the prediction, as it is to be done for every case.

    Args:
        predictor: the model.
        channels: of the case.
        rules: of the calibration, applied to the prediction before it is measured.
        views: those of the calibration; those that the plan forbids are left out.

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
    probabilities, prepared = predictor.probabilities(channels)
    return measure_prediction(
        probabilities,
        prepared.array,
        prepared.grid.spacing_mm,
        values,
        source_spacing_mm=prepared.source.canonical().spacing_mm,
        rules=rules,
        disagreement=disagreement,
    )
