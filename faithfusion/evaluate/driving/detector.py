"""What a detector of vehicles is, and how it looks at pictures of another shape than its own."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.evaluate.driving.agent_references import HEIGHT, WIDTH
from faithfusion.evaluate.driving.boxes import Detections, join_detections, suppress
from faithfusion.evaluate.driving.views import image_at_size

SAME_OBJECT_IOU = 0.5
BORDER_PX = 2.0


@runtime_checkable
class Detector(Protocol):
    """Finds objects in a picture. `name` says which network with which weights it is, for tables.

    Calling it with a picture [H, W, 3] in [0, 1] returns boxes in that picture's pixels with COCO's names of classes.
    """

    name: str

    def __call__(self, image: Float[Tensor, "h w 3"]) -> Detections: ...


def published_detections(detector: Detector, image: Float[Tensor, "h w 3"]) -> Detections:
    """Returns what the detector finds in the picture stretched to 480 x 320, as the published rule has it."""
    return detector(image_at_size(image, WIDTH, HEIGHT))


def square_detections(detector: Detector, image: Float[Tensor, "h w 3"]) -> Detections:
    """Returns what the detector finds in overlapping squares of a wide picture, in pixels at 480 x 320.

    For pictures much wider than high, in which cars become too small for a small detector. The squares are as high as
    the picture and stand half their width apart. Boxes that end at the inner border of a square are cut objects, which
    the next square shows whole, and are left out; of boxes of the same object the best one stays.
    """
    height, width = image.shape[:2]
    if width <= height:
        return published_detections(detector, image)
    parts = []
    for left in _lefts(width, height):
        found = detector(image[:, left : left + height])
        edges = found.boxes[:, [0, 2]]
        is_cut = (edges[:, 0] < BORDER_PX) & (left > 0) | (edges[:, 1] > height - BORDER_PX) & (left + height < width)
        moved = found.boxes + torch.tensor([left, 0.0, left, 0.0])
        parts.append(Detections(moved, found.scores, found.class_names, width, height).where(~is_cut))
    best = suppress(join_detections(parts), SAME_OBJECT_IOU)
    scale = torch.tensor([WIDTH / width, HEIGHT / height]).repeat(2)
    return Detections(best.boxes * scale, best.scores, best.class_names, WIDTH, HEIGHT)


def _lefts(width: int, side: int) -> list[int]:
    """Left edges of squares that cover a picture, evenly spread, at most half a square apart."""
    count = 1 + -(-2 * (width - side) // side)
    return [round(k * (width - side) / max(1, count - 1)) for k in range(count)]
