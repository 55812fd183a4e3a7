"""MobileNetV2 distance of a clip from the truth as a metric (`perceptual`)."""

from __future__ import annotations

from faithfusion.evaluate.metrics.metric import Metric
from faithfusion.evaluate.metrics.scored_clip import ScoredClip
from faithfusion.utils.mobilenet import feature_distance


def distance(clip: ScoredClip) -> float:
    """Returns the distance over all pixels."""
    return float(feature_distance(clip.features, clip.target.truth_features))


def regenerated_distance(clip: ScoredClip) -> float:
    """Returns the distance over the regenerated region."""
    return float(feature_distance(clip.features, clip.target.truth_features, clip.target.region.float()))


DISTANCE = Metric(
    of=distance,
    needs=("truth", "network"),
    label="MobileNetV2 distance",
    better="lower",
    decimals=4,
    meaning="unit features of five stages of an ImageNet MobileNetV2, squared difference",
    is_compared=True,
)
REGENERATED_DISTANCE = Metric(
    of=regenerated_distance,
    needs=("truth", "network"),
    label="MobileNetV2 distance, regenerated region",
    better="lower",
    decimals=4,
)
