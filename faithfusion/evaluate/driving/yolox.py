"""YOLOX (Ge et al. 2021) as an ONNX file, through ONNX Runtime: nano to x, trained on COCO, with raw outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.evaluate.driving.boxes import Detections, suppress
from faithfusion.evaluate.driving.coco import NAMES
from faithfusion.evaluate.driving.detector import Detector
from faithfusion.evaluate.driving.views import image_at_size
from faithfusion.utils.errors import InputError
from faithfusion.utils.extras import require_extra

STRIDES = (8, 16, 32)
BORDER_GREY = 114.0
SUPPRESSION_IOU = 0.45
LOWEST_SCORE = 0.05
"""Detections that score less are dropped before anything else; metrics ask for far more."""


class YoloxDetector:
    """A detector from a YOLOX file. `open_yolox` checks the file; this class only runs it."""

    def __init__(self, session: Any, name: str, height: int, width: int) -> None:
        self.name = name
        self._session, self._height, self._width = session, height, width

    def __call__(self, image: Float[Tensor, "h w 3"]) -> Detections:
        """Returns the boxes in a picture [H, W, 3] in [0, 1], after non-maximum suppression in each class."""
        picture, scale = letterbox(image, self._height, self._width)
        feed = {self._session.get_inputs()[0].name: picture.numpy()}
        rows = torch.from_numpy(self._session.run(None, feed)[0])[0]
        boxes, scores, classes = decoded(rows, self._height, self._width)
        height, width = image.shape[:2]
        limit = torch.tensor([width, height, width, height])
        inside = torch.minimum((boxes / scale).clamp_min(0), limit)
        kept = (scores > LOWEST_SCORE) & (inside[:, 2:] > inside[:, :2]).all(-1)
        names = tuple(NAMES[number] for number in classes[kept].tolist())
        return suppress(Detections(inside[kept], scores[kept], names, width, height), SUPPRESSION_IOU)


def open_yolox(path: Path) -> Detector:
    """Returns a detector that runs on the CPU. Raises InputError if ONNX Runtime is not installed, the file is no ONNX
    model, or its input and output are not those of YOLOX on COCO: [1, 3, H, W] and [1, cells, 85]."""
    require_extra("driving", "onnxruntime")
    session = _open_session(Path(path))
    height, width = _input_size(Path(path), session)
    cells = sum((height // stride) * (width // stride) for stride in STRIDES)
    expected = [1, cells, 5 + len(NAMES)]
    shapes = [output.shape for output in session.get_outputs()]
    if shapes != [expected]:
        raise InputError(path, f"outputs {shapes}", f"one output {expected}, boxes of YOLOX on COCO")
    return YoloxDetector(session, Path(path).stem, height, width)


def _open_session(path: Path) -> Any:
    import onnxruntime

    if not path.is_file():
        raise InputError(path, "no such file", "an ONNX model")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own compiled module, which have no common name
        first_line = str(error).splitlines()[0]
        raise InputError(path, f"cannot be opened ({first_line})", "an ONNX model") from None


def _input_size(path: Path, session: Any) -> tuple[int, int]:
    shapes = [entry.shape for entry in session.get_inputs()]
    is_picture = len(shapes) == 1 and len(shapes[0]) == 4 and shapes[0][1] == 3
    if not is_picture or not all(isinstance(side, int) and side % STRIDES[-1] == 0 for side in shapes[0][2:]):
        raise InputError(path, f"inputs {shapes}", f"one picture [1, 3, H, W] with sides divisible by {STRIDES[-1]}")
    return shapes[0][2], shapes[0][3]


def letterbox(
    image: Float[Tensor, "h w 3"], height: int, width: int
) -> tuple[Float[Tensor, "1 3 height width"], float]:
    """Returns the picture as large as it fits into the upper left corner, grey around it, blue first, 0 to 255; and its
    scale."""
    scale = min(height / image.shape[0], width / image.shape[1])
    rows, columns = int(image.shape[0] * scale), int(image.shape[1] * scale)
    picture = torch.full((1, 3, height, width), BORDER_GREY)
    picture[0, :, :rows, :columns] = 255 * image_at_size(image.cpu(), columns, rows).movedim(-1, 0).flip(0)
    return picture, scale


def decoded(
    rows: Float[Tensor, "cells columns"], height: int, width: int
) -> tuple[Float[Tensor, "cells 4"], Float[Tensor, " cells"], Tensor]:
    """Returns boxes in pixels of the network's picture, their scores and the numbers of their classes.

    A row is (x, y, log w, log h) in units of its cell, from the cell's corner, how sure the network is of any object,
    and of each class.
    """
    corners, strides = [], []
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        corners.append(np.stack([x, y], -1).reshape(-1, 2))
        strides.append(np.full(x.size, stride))
    corner = torch.from_numpy(np.concatenate(corners)).float()
    stride = torch.from_numpy(np.concatenate(strides)).float()[:, None]
    centre, half = (rows[:, :2] + corner) * stride, rows[:, 2:4].exp() * stride / 2
    best, classes = rows[:, 5:].max(-1)
    return torch.cat([centre - half, centre + half], -1), rows[:, 4] * best, classes
