"""Masks of moving objects from their boxes, for drives that come without segmentation.

A pixel is masked if its ray, bent by the lens, passes through a box, so boxes that are cut by the image's border or
that reach behind the camera are right too. What hides a box is not known: the masks are as large as the boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from faithfusion.data.calibration_text import invert_rigid, read_intrinsics
from faithfusion.data.drive_writer import BoxTrack
from faithfusion.data.image_files import image_size
from faithfusion.data.instances import is_non_rigid, leaves_its_place
from faithfusion.data.layouts import WAYMO
from faithfusion.data.lens import distort_pixels, undistort_pixels
from faithfusion.data.recorded_poses import read_ego_pose, read_image_pose, read_rig_pose
from faithfusion.types import Camera

KINDS = ("all", "vehicle", "human")
NEAR_M = 0.1
LENS_TOLERANCE_PX = 0.01
MARGIN_PX = 8  # edges of a box bend between its corners, by less than this on any lens that is not a fisheye


def write_dynamic_masks(folder: Path, tracks: Sequence[BoxTrack], num_frames: int) -> None:
    """Writes `dynamic_masks/{all,vehicle,human}/{t:03d}_{cam}.png` of the moving ones among `tracks` for every image.

    `folder` is a drive of `drive_writer` whose calibration, poses and images are written.
    """
    for kind in KINDS:
        (folder / "dynamic_masks" / kind).mkdir(parents=True, exist_ok=True)
    moving = [track for track in tracks if leaves_its_place(track.world_from_box[:, :3, 3])]
    for path, masks in _masks_of_images(folder, moving, num_frames):
        for kind, mask in masks.items():
            Image.fromarray(mask).save(folder / "dynamic_masks" / kind / f"{path.stem}.png")


def _masks_of_images(
    folder: Path, tracks: Sequence[BoxTrack], num_frames: int
) -> Iterator[tuple[Path, dict[str, np.ndarray]]]:
    for name in sorted(path.stem for path in (folder / "intrinsics").glob("*.txt")):
        lens = None
        ego_from_camera = read_rig_pose(folder, WAYMO, name)
        for t in range(num_frames):
            for path in (folder / "images").glob(f"{t:03d}_{name}.*"):
                lens = lens or read_lens(folder / "intrinsics" / f"{name}.txt", *image_size(path))
                ego = read_ego_pose(folder, WAYMO, t)
                camera_from_world = invert_rigid(read_image_pose(folder, WAYMO, t, name, ego_from_camera, ego))
                yield path, _masks_at(lens, camera_from_world, tracks, t)


def _masks_at(lens: Lens, camera_from_world: np.ndarray, tracks: Sequence[BoxTrack], t: int) -> dict[str, np.ndarray]:
    masks = {kind: np.zeros(lens.rays.shape[1:], bool) for kind in KINDS}
    for track in tracks:
        if t in track.frames:
            index = track.frames.index(t)
            rows, columns, hit = box_pixels(lens, camera_from_world @ track.world_from_box[index], track.size_m[index])
            for kind in ("all", "human" if is_non_rigid(track.class_name) else "vehicle"):
                masks[kind][rows, columns] |= hit
    return masks


@dataclass(frozen=True)
class Lens:
    """A camera's rays through its recorded pixels: directions (x / z, y / z, 1), coordinates first."""

    intrinsics: Float[np.ndarray, "3 3"]
    distortion: Float[np.ndarray, 5]
    rays: Float[np.ndarray, "3 h w"]


def read_lens(path: Path, width: int, height: int) -> Lens:
    """Rays of the camera with this intrinsics file. InputError if it is damaged."""
    intrinsics, distortion = read_intrinsics(path)
    pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1)
    if distortion.any():
        pixels = undistort_pixels(pixels, intrinsics, distortion, tolerance_px=LENS_TOLERANCE_PX)
    rays = np.ones((3, height, width), np.float32)
    rays[:2] = np.moveaxis((pixels - intrinsics[:2, 2]) / intrinsics[[0, 1], [0, 1]], -1, 0)
    return Lens(intrinsics, distortion, rays)


def pinhole_rays(camera: Camera) -> Lens:
    """Rays of an undistorted camera."""
    width, height = camera.width, camera.height
    u, v = np.meshgrid(np.arange(width, dtype=np.float32) + 0.5, np.arange(height, dtype=np.float32) + 0.5)
    matrix = camera.intrinsics.cpu().double().numpy()
    x, y = (u - matrix[0, 2]) / matrix[0, 0], (v - matrix[1, 2]) / matrix[1, 1]
    return Lens(matrix, np.zeros(5), np.stack([x, y, np.ones_like(x)]).astype(np.float32))


def box_pixels(
    lens: Lens, camera_from_box: Float[np.ndarray, "4 4"], size_m: Float[np.ndarray, 3]
) -> tuple[slice, slice, Bool[np.ndarray, "rows columns"]]:
    """(rows, columns, hit): in that part of the image, which rays pass through the box in front of the camera."""
    rows, columns = _around(lens, camera_from_box, size_m)
    directions = np.tensordot(camera_from_box[:3, :3].T.astype(np.float32), lens.rays[:, rows, columns], 1)
    origin = invert_rigid(camera_from_box)[:3, 3]
    sides = [(side * size_m / 2 - origin).astype(np.float32)[:, None, None] for side in (-1.0, 1.0)]
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = (side / directions for side in sides)
    enter, leave = np.minimum(first, second).max(0), np.maximum(first, second).min(0)
    return rows, columns, leave > np.maximum(enter, 0.0)


def _around(lens: Lens, camera_from_box: np.ndarray, size_m: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns outside of which no ray can meet the box."""
    height, width = lens.rays.shape[1:]
    signs = np.stack(np.meshgrid(*[[-0.5, 0.5]] * 3), -1).reshape(-1, 3)
    corners = signs * size_m @ camera_from_box[:3, :3].T + camera_from_box[:3, 3]
    if (corners[:, 2] < NEAR_M).all():
        return slice(0, 0), slice(0, 0)
    if (corners[:, 2] < NEAR_M).any():
        return slice(0, height), slice(0, width)
    ideal = corners[:, :2] / corners[:, 2:] * lens.intrinsics[[0, 1], [0, 1]] + lens.intrinsics[:2, 2]
    pixels = np.concatenate([ideal, distort_pixels(ideal, lens.intrinsics, lens.distortion)])
    low, high = pixels.min(0) - MARGIN_PX, pixels.max(0) + MARGIN_PX
    column, row = np.clip([low, high], 0, [width, height]).astype(int).T
    return slice(*row), slice(*column)
