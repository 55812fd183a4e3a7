"""The same posed cameras in the files of four systems, written by hand from their documents."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from faithfusion.data.posed_camera import PosedCamera

COLMAP_MODELS = {"SIMPLE_PINHOLE": 0, "PINHOLE": 1, "SIMPLE_RADIAL": 2, "RADIAL": 3, "OPENCV": 4}


def make_series(num: int = 12, distortion: tuple[float, ...] = (0.0,) * 5) -> list[PosedCamera]:
    """A camera that drives along a bend in a world with y down (as COLMAP's often is), pitched 10 degrees down."""
    cameras = []
    for t in range(num):
        yaw = Rotation.from_euler("y", 0.03 * t)  # about the down axis
        pose = np.eye(4)
        pose[:3, :3] = (yaw * Rotation.from_euler("x", -np.radians(10.0))).as_matrix()
        pose[:3, 3] = yaw.apply([0.1 * t, -1.5, 0.8 * t])
        pinhole = (50.0, 48.0, 33.0, 23.0, *distortion)
        cameras.append(PosedCamera(f"front/img_{t}.png", 64, 48, pinhole, pose))
    return cameras


def write_transforms(path: Path, cameras: Sequence[PosedCamera], per_frame: bool = False, **extra: object) -> None:
    """nerfstudio: OpenGL camera axes."""
    frames = []
    for camera in cameras:
        opengl = camera.world_from_camera.copy()
        opengl[:3, 1:3] *= -1.0
        frames.append({"file_path": camera.name, "transform_matrix": opengl.tolist()})
    names = ("fl_x", "fl_y", "cx", "cy", "k1", "k2", "p1", "p2", "k3")
    shared = {"w": cameras[0].width, "h": cameras[0].height, "camera_model": "OPENCV"}
    shared |= dict(zip(names, cameras[0].pinhole, strict=True))
    if per_frame:
        frames = [frame | shared for frame in frames]
    path.write_text(json.dumps({**({} if per_frame else shared), **extra, "frames": frames}))


def write_colmap(folder: Path, cameras: Sequence[PosedCamera], model: str, *, binary: bool) -> None:
    """COLMAP: camera-from-world quaternions wxyz, intrinsics shared by all images."""
    folder.mkdir(parents=True)
    fx, fy, cx, cy, k1, k2, p1, p2, _ = cameras[0].pinhole
    parameters = {
        "SIMPLE_PINHOLE": (fx, cx, cy),
        "PINHOLE": (fx, fy, cx, cy),
        "SIMPLE_RADIAL": (fx, cx, cy, k1),
        "RADIAL": (fx, cx, cy, k1, k2),
        "OPENCV": (fx, fy, cx, cy, k1, k2, p1, p2),
    }[model]
    size = (cameras[0].width, cameras[0].height)
    poses = []
    for camera in cameras:
        rotation = camera.world_from_camera[:3, :3].T
        quat = Rotation.from_matrix(rotation).as_quat(scalar_first=True)
        poses.append((*quat, *(-rotation @ camera.world_from_camera[:3, 3])))
    if binary:
        content = struct.pack("<QiiQQ", 1, 7, COLMAP_MODELS[model], *size) + struct.pack(
            f"<{len(parameters)}d", *parameters
        )
        (folder / "cameras.bin").write_bytes(content)
        content = struct.pack("<Q", len(cameras))
        for number, (camera, pose) in enumerate(zip(cameras, poses, strict=True), 1):
            points = number % 3  # images have observations, of different number
            content += struct.pack("<i7di", number, *pose, 7) + camera.name.encode() + b"\0"
            content += struct.pack("<Q", points) + struct.pack("<ddq", 1.5, 2.5, -1) * points
        (folder / "images.bin").write_bytes(content)
        return
    numbers = " ".join(map(repr, parameters))
    (folder / "cameras.txt").write_text(f"# Camera list\n7 {model} {size[0]} {size[1]} {numbers}\n")
    lines = ["# Image list with two lines of data per image:"]
    for number, (camera, pose) in enumerate(zip(cameras, poses, strict=True), 1):
        lines += [
            f"{number} {' '.join(repr(float(value)) for value in pose)} 7 {camera.name}",
            "1.5 2.5 -1" * (number % 2),
        ]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
