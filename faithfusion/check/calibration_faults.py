"""Checks the calibration by itself and against the ground: image size, lens, axes and heights of the cameras."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from faithfusion.check.evidence import Evidence
from faithfusion.check.findings import Finding, broken, remark
from faithfusion.check.motion_faults import nearest_axis
from faithfusion.data.calibration_text import invert_rigid, read_intrinsics
from faithfusion.data.lens import lens_map
from faithfusion.data.lidar import project_points
from faithfusion.data.picture_scale import size_of_intrinsics
from faithfusion.types import Camera

CENTER_REMARK = 0.3  # distance of the principal point from the image's middle, in widths or heights
CENTER_BROKEN = 0.45  # a principal point farther off than this belongs to another image
MIN_FOV_DEG = 10.0  # narrowest horizontal field of view of a camera, degrees
MAX_FOV_DEG = 150.0  # widest horizontal field of view of a pinhole camera, degrees
MAX_ASPECT = 1.2  # largest ratio of the two focal lengths
MIN_LENS_SHARE = 0.6  # share of the undistorted image that the lens saw, at least
MAX_TANGENTIAL = 0.05  # largest |p1|, |p2|
MAX_ROLL_DEG = 50.0  # largest angle between the camera's up axis and the ego's z axis, degrees
MIN_CAMERA_HEIGHT_M = 0.2  # lowest place of a camera over the LiDAR's ground, metres
MAX_CAMERA_HEIGHT_M = 6.0  # highest place of a camera over the LiDAR's ground, metres
MIN_SCAN_INSIDE = 0.02  # share of a scan that falls into at least one image


def check_calibration(evidence: Evidence) -> list[Finding]:
    """Checks intrinsics, lens distortion and mounting of every camera."""
    findings: list[Finding] = []
    for name in evidence.clip.camera_names:
        intrinsics = _check_centre(evidence, name) or _check_focal(evidence, name)
        findings += intrinsics + _check_lens(evidence, name)
        findings += _check_roll(evidence, name) or _check_height(evidence, name)
    return findings + _check_inside(evidence)


def horizontal_fov_deg(camera: Camera) -> float:
    """Horizontal field of view of an undistorted camera, degrees."""
    fx, cx = float(camera.intrinsics[0, 0]), float(camera.intrinsics[0, 2])
    return float(np.degrees(np.arctan2(cx, fx) + np.arctan2(camera.width - cx, fx)))


def ego_from_camera(evidence: Evidence, name: str) -> Float[np.ndarray, "4 4"]:
    """The pose [4, 4] of a camera in the ego frame, OpenCV camera axes."""
    world_from_camera = evidence.clip.frame(0, name).camera.world_from_camera.double().numpy()
    return invert_rigid(evidence.clip.world_from_ego[0].double().numpy()) @ world_from_camera


def _check_centre(evidence: Evidence, name: str) -> list[Finding]:
    camera = evidence.clip.frame(0, name).camera
    cx, cy = (float(value) for value in camera.intrinsics[:2, 2])
    off_x, off_y = cx / camera.width - 0.5, cy / camera.height - 0.5
    where = f"principal point ({cx:.0f}, {cy:.0f}) in an image of {camera.width}x{camera.height}"
    size = size_of_intrinsics(camera)
    if size is not None:
        text = f"intrinsics of another image size, about {size[0]}x{size[1]}: {where}"
        return [broken(f"camera {name}", text)]
    if max(abs(off_x), abs(off_y)) > CENTER_BROKEN:
        return [broken(f"camera {name}", f"intrinsics of another image: {where}")]
    if max(abs(off_x), abs(off_y)) > CENTER_REMARK:
        return [remark(f"camera {name}", f"{where} is far from the middle (a crop?)")]
    return []


def _check_focal(evidence: Evidence, name: str) -> list[Finding]:
    camera = evidence.clip.frame(0, name).camera
    fx, fy, fov = float(camera.intrinsics[0, 0]), float(camera.intrinsics[1, 1]), horizontal_fov_deg(camera)
    if not MIN_FOV_DEG <= fov <= MAX_FOV_DEG:
        text = f"field of view of {fov:.0f} degrees (focal length {fx:.0f} pixels, width {camera.width})"
        return [broken(f"camera {name}", text)]
    if max(fx / fy, fy / fx) > MAX_ASPECT:
        return [remark(f"camera {name}", f"focal lengths {fx:.0f} and {fy:.0f} pixels: the image was squeezed")]
    return []


def _check_lens(evidence: Evidence, name: str) -> list[Finding]:
    """A lens shows most of the picture that a pinhole camera would: it neither folds nor explodes."""
    path, camera = evidence.clip.root / "intrinsics" / f"{name}.txt", evidence.clip.frame(0, name).camera
    lens = lens_map(path, camera.width, camera.height)
    if lens is None:
        return []
    distortion = read_intrinsics(path)[1]
    values = " ".join(f"{value:.3g}" for value in distortion)
    share = 1.0 if lens.seen is None else float(lens.seen.float().mean())
    if share < MIN_LENS_SHARE:
        return [broken(f"camera {name}", f"lens distortion {values} is no lens: it fills {share:.0%} of the image")]
    if max(abs(distortion[2]), abs(distortion[3])) > MAX_TANGENTIAL:
        return [remark(f"camera {name}", f"lens distortion {values}: p1 p2 are large, is it another lens model?")]
    return []


def _check_roll(evidence: Evidence, name: str) -> list[Finding]:
    up = -ego_from_camera(evidence, name)[:3, 1]
    roll = float(np.degrees(np.arccos(np.clip(up[2], -1.0, 1.0))))
    if roll <= MAX_ROLL_DEG:
        return []
    text = f"wrong axes in the extrinsics: the image's up points to the ego's {nearest_axis(up)}"
    return [broken(f"camera {name}", text)]


def _check_height(evidence: Evidence, name: str) -> list[Finding]:
    ground = next((ground for ground in evidence.grounds.values() if ground is not None), None)
    if ground is None:
        return []
    centre = ego_from_camera(evidence, name)[:3, 3]
    height = float(ground.normal @ centre + ground.height_m)
    if MIN_CAMERA_HEIGHT_M <= height <= MAX_CAMERA_HEIGHT_M:
        return []
    text = f"{height:.1f} m over the LiDAR's ground: extrinsics inverted, or LiDAR in another frame"
    return [broken(f"camera {name}", text)]


def share_inside(evidence: Evidence, t: int, name: str) -> float:
    """Share of a scan's points that fall into a camera's image."""
    _, _, inside = project_points(evidence.points_world(t), evidence.clip.frame(t, name).camera)
    return float(inside.float().mean()) if len(inside) else 0.0


def _check_inside(evidence: Evidence) -> list[Finding]:
    """At least one camera must see the scan; the cameras that do not are named."""
    times = evidence.sample_scans()
    if not times:
        return []
    names = evidence.clip.camera_names
    shares = {name: float(np.mean([share_inside(evidence, t, name) for t in times])) for name in names}
    blind = [name for name, share in shares.items() if share < MIN_SCAN_INSIDE]
    if len(blind) == len(shares):
        best = max(shares.values())
        return [
            broken("lidar", f"no camera sees the scans (at most {best:.1%} of the points): wrong extrinsics or frame")
        ]
    return [remark(f"camera {name}", f"sees {shares[name]:.1%} of the LiDAR points only") for name in blind]
