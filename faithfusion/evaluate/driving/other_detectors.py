"""Detectors of torchvision and ultralytics with weights from the user's own files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.evaluate.driving.boxes import Detections
from faithfusion.evaluate.driving.detector import Detector
from faithfusion.evaluate.driving.state_dicts import load_state
from faithfusion.utils.errors import InputError
from faithfusion.utils.extras import require_extra
from faithfusion.utils.media import to_uint8


class TorchvisionDetector:
    """A detection network of torchvision in evaluation mode, on the device its weights lie on."""

    def __init__(self, network: torch.nn.Module, name: str, categories: list[str]) -> None:
        self.name = name
        self._network, self._categories = network, categories

    @torch.inference_mode()
    def __call__(self, image: Float[Tensor, "h w 3"]) -> Detections:
        """Returns what the network finds in a picture in [0, 1]."""
        device = next(self._network.parameters()).device
        found = self._network([image.to(device).movedim(-1, 0)])[0]
        names = tuple(self._categories[number] for number in found["labels"].tolist())
        return Detections(found["boxes"].cpu(), found["scores"].cpu(), names, image.shape[1], image.shape[0])


def open_torchvision_detector(model: str, path: Path) -> Detector:
    """Returns the network `model` of `torchvision.models.detection` with a state dict trained on COCO.

    Raises InputError if there is no such network, or the file holds the weights of another one.
    """
    require_extra("driving", "torchvision")
    from torchvision.models import detection, list_models

    names = list_models(module=detection)
    if model not in names:
        raise InputError("model", repr(model), f"one of {', '.join(names)}")
    network = getattr(detection, model)(weights=None, weights_backbone=None)
    load_state(network, path, f"the state dict of torchvision's {model}")
    categories = detection.FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    return TorchvisionDetector(network.eval(), model, categories)


class UltralyticsDetector:
    """A YOLO of ultralytics."""

    def __init__(self, network: Any, name: str) -> None:
        self.name = name
        self._network = network

    def __call__(self, image: Float[Tensor, "h w 3"]) -> Detections:
        """Returns what the network finds in a picture in [0, 1]; it takes bytes, blue first."""
        found = self._network.predict(to_uint8(image)[..., ::-1].copy(), verbose=False)[0]
        names = tuple(found.names[int(number)] for number in found.boxes.cls.tolist())
        boxes, scores = found.boxes.xyxy.float().cpu(), found.boxes.conf.float().cpu()
        return Detections(boxes, scores, names, image.shape[1], image.shape[0])


def open_ultralytics_detector(path: Path) -> Detector:
    """Returns a YOLO from a file of ultralytics, such as the published `yolo11x.pt`.

    Ultralytics is under the AGPL, belongs to no extra of this package and loads its files as programs: the installation
    and the trust are the user's own. Raises InputError if it is not installed or the file is missing.
    """
    try:
        from ultralytics import YOLO
    except ImportError:
        raise InputError("ultralytics", "not installed", "pip install ultralytics (under the AGPL)") from None
    if not Path(path).is_file():  # ultralytics would fetch it
        raise InputError(path, "no such file", "a YOLO of ultralytics")
    return UltralyticsDetector(YOLO(str(path)), Path(path).stem)
