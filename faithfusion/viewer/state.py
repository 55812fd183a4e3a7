"""What a browser asks for, as plain values: equal states give the same picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation
from torch import Tensor

Quantity = Literal["colour", "depth", "EIG", "expected error"]
QUANTITIES: tuple[Quantity, ...] = ("colour", "depth", "EIG", "expected error")
NEEDS_POSTERIOR: tuple[Quantity, ...] = ("EIG", "expected error")
RECORDED = "recorded image"
"""The name that stands for the recorded images in place of a version of the scene."""


@dataclass(frozen=True)
class FreeView:
    """A camera moved by hand: its pose, row by row, and its vertical field of view."""

    world_from_camera: tuple[float, ...]  # 16 numbers, OpenCV axes, metres
    fov_rad: float

    def pose(self) -> Float[Tensor, "4 4"]:
        """`world_from_camera` as a matrix."""
        return torch.tensor(self.world_from_camera, dtype=torch.float32).reshape(4, 4)


@dataclass(frozen=True)
class ViewState:
    """One view of a run.

    Attributes:
        version: a name of `Run.versions`, or RECORDED.
        quantity: what the picture shows of a version.
        time_index: where the moving objects are.
        camera_name: the camera of the rig that is ridden along with, unless `free`.
        shift_m: how far that camera is moved to the left along the ego's y axis.
        canvas: width and height in the browser, pixels.
        free: the camera moved by hand, or None.
        lines: whether cameras, path and boxes are drawn into the picture.
    """

    version: str
    quantity: Quantity
    time_index: int
    camera_name: str
    shift_m: float
    canvas: tuple[int, int]
    free: FreeView | None = None
    lines: bool = True


def pose_from_quaternion(
    wxyz: Sequence[float] | np.ndarray, position_m: Sequence[float] | np.ndarray
) -> tuple[float, ...]:
    """The 16 numbers of `FreeView.world_from_camera`."""
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = torch.from_numpy(Rotation.from_quat(wxyz, scalar_first=True).as_matrix())
    pose[:3, 3] = torch.tensor([float(value) for value in position_m], dtype=torch.float64)
    return tuple(pose.flatten().tolist())
