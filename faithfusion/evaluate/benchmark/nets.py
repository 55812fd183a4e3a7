"""The networks that measure, opened once: detector, lane net, features of pictures."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor, nn

from faithfusion.evaluate.benchmark.config import BenchmarkConfig, DetectorConfig
from faithfusion.evaluate.driving.boxes import Detections
from faithfusion.evaluate.driving.detector import Detector, published_detections, square_detections
from faithfusion.evaluate.driving.feature_nets import FeatureNet, MobileNetFeatures, open_inception
from faithfusion.evaluate.driving.lane_net import LaneNet, open_twinlitenet
from faithfusion.evaluate.driving.other_detectors import open_torchvision_detector, open_ultralytics_detector
from faithfusion.evaluate.driving.yolox import open_yolox
from faithfusion.utils.errors import InputError
from faithfusion.utils.mobilenet import mobilenet_or_none


@dataclass(frozen=True)
class Nets:
    """What is there of the networks. `mobilenet` gives the distance to true pictures, `features` those between sets of
    pictures; `key` tells the weights and options of all of them from all others."""

    detector: Detector | None
    detector_config: DetectorConfig
    lane_net: LaneNet | None
    features: FeatureNet | None
    mobilenet: nn.Module | None
    key: tuple[str, ...]

    def detections(self, image: Float[Tensor, "h w 3"]) -> Detections:
        """What the detector finds, at 480 x 320. Raises InputError without one."""
        if self.detector is None:
            raise InputError("benchmark.detector", "none", "a detector to look with")
        look = square_detections if self.detector_config.squares else published_detections
        return look(self.detector, image)


def open_nets(config: BenchmarkConfig) -> Nets:
    """Opens what the configuration names, and MobileNetV2 if it is installed. Raises InputError for a file that is
    missing or holds another network."""
    mobilenet = mobilenet_or_none()
    features: FeatureNet | None = MobileNetFeatures() if mobilenet is not None else None
    if config.inception:
        features = open_inception(Path(config.inception))
    return Nets(
        detector=_detector(config.detector) if config.detector.weights else None,
        detector_config=config.detector,
        lane_net=open_twinlitenet(_existing(config.lane_net, "benchmark.lane_net")) if config.lane_net else None,
        features=features,
        mobilenet=mobilenet,
        key=(
            *(file_key(path) for path in (config.detector.weights, config.lane_net, config.inception)),
            *(config.detector.kind, config.detector.model, str(config.detector.squares), *config.detector.classes),
            "MobileNetV2" if mobilenet is not None else "",
        ),
    )


def _detector(config: DetectorConfig) -> Detector:
    path = _existing(config.weights, "benchmark.detector.weights")
    if config.kind == "yolox":
        return open_yolox(path)
    if config.kind == "ultralytics":
        return open_ultralytics_detector(path)
    return open_torchvision_detector(config.model, path)


def _existing(path: str, where: str) -> Path:
    if not Path(path).is_file():
        raise InputError(where, f"no such file: {path}", "the weights of the network")
    return Path(path)


def file_key(path: str) -> str:
    """Returns what tells the content of a file from any other; empty without a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16] if path else ""
