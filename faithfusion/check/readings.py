"""Other ways to read the files of a drive: if one of them fits LiDAR and images clearly better, the files are wrong,
and how they are wrong is known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.check.agreement import Pair, Reading, View
from faithfusion.data.layouts import LAYOUTS, OPENCV2DATASET
from faithfusion.types import Camera

ROTATION_STEPS_DEG = (-8.0, -4.0, -2.0, -1.0, 1.0, 2.0, 4.0, 8.0)
ROTATION_AXES = {"yaw": 1, "pitch": 0, "roll": 2}  # about the camera's y (down), x (right), z (forward) axis
FOCAL_SCALES = (0.5, 0.7, 0.85, 1.2, 1.4, 2.0)


def with_rig(ego_from_camera: Float[Tensor, "4 4"], intrinsics: Float[Tensor, "3 3"] | None = None) -> Reading:
    """Both views with another mounting, and another calibration if given."""

    def mounted(view: View) -> Camera:
        matrix = view.camera.intrinsics if intrinsics is None else intrinsics
        pose = view.world_from_ego @ ego_from_camera
        return dataclasses.replace(view.camera, intrinsics=matrix, world_from_camera=pose)

    return _with_cameras(mounted)


def _with_cameras(change: Callable[[View], Camera]) -> Reading:
    """Both views seen with the cameras that `change` gives them."""

    def read(pair: Pair) -> Pair:
        first, second = (dataclasses.replace(view, camera=change(view)) for view in (pair.first, pair.second))
        return dataclasses.replace(pair, first=first, second=second)

    return read


def mounting(view: View) -> Float[Tensor, "4 4"]:
    """The camera's pose [4, 4] in the ego frame of a view, OpenCV camera axes."""
    return torch.linalg.inv(view.world_from_ego) @ view.camera.world_from_camera


def other_mountings(view: View, layout: str) -> dict[str, Reading]:
    """The extrinsics of a drive in `layout` read in the ways people get them wrong."""
    own = LAYOUTS[layout].camera_from_opencv
    opencv = np.eye(4)
    other = OPENCV2DATASET if np.array_equal(own, opencv) else opencv
    own_axes, other_axes = (torch.from_numpy(axes).float() for axes in (own, other))
    as_written = mounting(view) @ torch.linalg.inv(own_axes)
    inverted = torch.linalg.inv(as_written)
    return {
        "the extrinsics inverted (ego to camera)": with_rig(inverted @ own_axes),
        "the extrinsics in other camera axes": with_rig(as_written @ other_axes),
        "the extrinsics inverted and in other camera axes": with_rig(inverted @ other_axes),
    }


def focal_scaled(factor: float) -> Reading:
    """Both views with focal lengths `factor` times as long."""
    scale = torch.tensor([[factor, 1.0, 1.0], [1.0, factor, 1.0], [1.0, 1.0, 1.0]])
    return _with_cameras(lambda view: dataclasses.replace(view.camera, intrinsics=view.camera.intrinsics * scale))


def turned(angles_deg: dict[str, float]) -> Reading:
    """Both views with the camera turned about its own axes (see `ROTATION_AXES`)."""
    rotation = torch.eye(4)
    for name, angle in angles_deg.items():
        rotation = rotation @ axis_rotation(ROTATION_AXES[name], math.radians(angle))

    def turn(view: View) -> Camera:
        return dataclasses.replace(view.camera, world_from_camera=view.camera.world_from_camera @ rotation)

    return _with_cameras(turn)


def axis_rotation(axis: int, angle: float) -> Float[Tensor, "4 4"]:
    """Right-handed rotation by `angle` radians about coordinate axis 0, 1 or 2."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    rotation = torch.eye(4)
    rotation[i, i] = rotation[j, j] = math.cos(angle)
    rotation[i, j], rotation[j, i] = -math.sin(angle), math.sin(angle)
    return rotation


def with_motion(pair: Pair, first_from_second: Float[Tensor, "4 4"]) -> Pair:
    """The pair with another motion of the ego between its views."""
    ego = pair.first.world_from_ego @ first_from_second
    camera = dataclasses.replace(pair.second.camera, world_from_camera=ego @ mounting(pair.second))
    return dataclasses.replace(pair, second=View(pair.second.contrast, camera, ego))


def other_motions(dataset_from_clip: Float[np.ndarray, "4 4"], *, scans_agree: bool) -> dict[str, Reading]:
    """The ego poses read in the ways people get them wrong; the matrix leads to the poses as the files have them.

    If scans agree with the poses these cannot be inverted.
    """
    to_dataset = torch.from_numpy(dataset_from_clip)

    def relative(pair: Pair) -> Float[Tensor, "4 4"]:
        return torch.linalg.inv(pair.first.world_from_ego) @ pair.second.world_from_ego

    def scaled(factor: float) -> Reading:
        def read(pair: Pair) -> Pair:
            motion = relative(pair)
            motion[:3, 3] *= factor
            return with_motion(pair, motion)

        return read

    def inverted(pair: Pair) -> Pair:
        first, second = (to_dataset @ view.world_from_ego.double() for view in (pair.first, pair.second))
        return with_motion(pair, (first @ torch.linalg.inv(second)).float())

    readings = {
        "images that run backwards in time": lambda pair: with_motion(pair, torch.linalg.inv(relative(pair))),
        "half as much motion in the poses": scaled(0.5),
        "twice as much motion in the poses": scaled(2.0),
        "no motion in the poses": scaled(0.0),
    }
    return readings if scans_agree else {"inverted poses (world to ego)": inverted, **readings}
