"""Makes a drive of one camera, in a world with z up, from a series of posed pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from faithfusion.data.calibration_text import invert_rigid
from faithfusion.data.drive_writer import RigCamera, make_folders, write_frame, write_rig
from faithfusion.data.image_files import is_picture
from faithfusion.data.layouts import OPENCV2DATASET
from faithfusion.data.posed_camera import PosedCamera
from faithfusion.data.series_pictures import plan_series
from faithfusion.types import DriveClip
from faithfusion.utils.atomic import atomic_folder
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say
from faithfusion.utils.similarity import Similarity

CAMERA_NAME = "0"
MIN_AGREEMENT = 0.3  # length of the mean of the cameras' up vectors; less means they do not agree on one
MIN_SPREAD = 0.01  # second moment of the x axes out of their main direction: cameras that turn by about 6 degrees
MIN_COSINE = 0.5  # between the estimate and the mean up vector; less means the cameras were rolled on purpose
MIN_HORIZONTAL = 1e-3  # share of the view direction across the up vector; less means looking straight up or down
NAMED = 3  # so many cameras without a picture are named


@dataclass(frozen=True)
class CameraDrive:
    """The drive of one series. Its world is the ego's first pose: z up, x where the first camera looks, level.

    The ego stands at the camera's centre; how the first camera is tilted against it holds for all of them, so a shift
    to the left is level wherever the camera is."""

    drive_from_file: Similarity
    ego_from_camera: np.ndarray  # [4, 4], OpenCV camera axes
    world_from_ego: np.ndarray  # [t, 4, 4], world of the drive


def plan_drive(cameras: Sequence[PosedCamera], up: Sequence[float] | None = None, scale: float = 1.0) -> CameraDrive:
    """Ego poses of the series and the move from the file's world into the drive's.

    `up`: the world's up vector in the file's axes; estimated from the cameras if None. `scale`: metres per unit of
    the file. InputError if the cameras do not agree on an up vector, or the scale is not positive.
    """
    _require_scale(scale)
    up_axis = estimate_up(cameras) if up is None else _unit(up)
    level = _level_frame(cameras[0].world_from_camera, up_axis)
    rotation = level[:3, :3].T
    move = Similarity(rotation, -scale * rotation @ level[:3, 3], scale)
    ego_from_camera = invert_rigid(level) @ cameras[0].world_from_camera
    camera_from_ego = invert_rigid(ego_from_camera)
    poses = [move.move_pose(camera.world_from_camera) @ camera_from_ego for camera in cameras]
    return CameraDrive(move, ego_from_camera, np.stack(poses))


def level_world(up: Sequence[float] | None, scale: float) -> Similarity:
    """The move of a world without cameras: turned the shortest way so that `up` is z; not turned if it is None."""
    _require_scale(scale)
    rotation = np.eye(3) if up is None else Rotation.align_vectors([[0.0, 0.0, 1.0]], [_unit(up)])[0].as_matrix()
    return Similarity(rotation, np.zeros(3), scale)


def estimate_up(cameras: Sequence[PosedCamera]) -> np.ndarray:
    """The up vector of the world, from cameras held level from side to side: across all their x axes.

    Cameras that hardly turn share one x axis; then it is across the line they moved along too. Without that it is the
    mean of their own up vectors, which a camera that looks down tilts. InputError if the cameras disagree.
    """
    mean = -np.mean([camera.world_from_camera[:3, 1] for camera in cameras], axis=0)
    if np.linalg.norm(mean) < MIN_AGREEMENT:
        found = f"no common up (mean of length {np.linalg.norm(mean):.2f})"
        raise InputError("cameras", found, "--up X Y Z in the file's axes")
    right = np.stack([camera.world_from_camera[:3, 0] for camera in cameras])
    moment = right.T @ right / len(right)
    if np.linalg.eigvalsh(moment)[1] < MIN_SPREAD:
        centres = np.stack([camera.world_from_camera[:3, 3] for camera in cameras])
        _, lengths, axes = np.linalg.svd(centres - centres.mean(0))
        if len(cameras) > 1 and lengths[0] > 0:
            moment += np.outer(axes[0], axes[0])
    values, vectors = np.linalg.eigh(moment)
    up = vectors[:, 0] * np.sign(vectors[:, 0] @ mean)
    if values[1] < MIN_SPREAD or up @ _unit(mean) < MIN_COSINE:
        return _unit(mean)
    return up


def write_camera_drive(
    folder: Path,
    drive: CameraDrive,
    cameras: Sequence[PosedCamera],
    image_paths: Sequence[Path],
    *,
    apply_exif: bool = False,
) -> None:
    """Writes the drive whole or not at all. There is one of `image_paths` per camera.

    Pictures are copied as they are if one camera took them all; if their size, intrinsics or lens differ they are
    resampled (`series_pictures`). Pictures of another size but the same shape scale the intrinsics. `apply_exif` turns
    pictures as their EXIF orientation says. InputError if the folder exists, or a picture is damaged or has another
    shape than its camera.
    """
    if folder.exists():
        raise InputError(folder, "exists", "a new folder for the drive")
    series = plan_series(cameras, image_paths, upright=apply_exif)
    with atomic_folder(folder) as temporary:
        make_folders(temporary)
        ego_from_camera = drive.ego_from_camera @ invert_rigid(OPENCV2DATASET)
        write_rig(temporary, [RigCamera(CAMERA_NAME, series.pinhole, ego_from_camera)])
        for t, (pose, content) in enumerate(zip(drive.world_from_ego, series.encoded(), strict=True)):
            write_frame(temporary, t, pose, {CAMERA_NAME: content})


def find_images(folder: Path, cameras: Sequence[PosedCamera]) -> list[Path | None]:
    """Finds the picture of every camera below `folder` by the end of its path, with or without its suffix; None for
    cameras without one.

    InputError that names the first camera if none has a picture, and for two cameras of one picture.
    """
    if not folder.is_dir():
        raise InputError(folder, "no such folder", "the folder of the cameras' images")
    paths = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: (is_picture(path), path))
    files = {path.relative_to(folder).as_posix(): path for path in paths}
    stems = {name.removesuffix(path.suffix): path for name, path in files.items()}  # a picture wins over its notes
    found = [_find_image(camera, files, stems) for camera in cameras]
    if not any(found):
        raise InputError(folder, f"no image for camera {cameras[0].name!r}", "one per camera, named as in the file")
    taken: dict[Path, str] = {}
    for camera, path in zip(cameras, found, strict=True):
        if path is not None and taken.setdefault(path, camera.name) != camera.name:
            expected = "a picture of its own for each (choose cameras with --match)"
            raise InputError(path, f"the picture of cameras {taken[path]!r} and {camera.name!r}", expected)
    return found


def _find_image(camera: PosedCamera, files: dict[str, Path], stems: dict[str, Path]) -> Path | None:
    parts = Path(camera.name).parts
    tails = ["/".join(parts[start:]) for start in range(len(parts))]
    candidates = [files.get(tail) or stems.get(tail) for tail in tails]
    candidates += [stems.get(tail.removesuffix(Path(tail).suffix)) for tail in tails]
    return next((path for path in candidates if path is not None), None)


def cameras_with_pictures(folder: Path, cameras: Sequence[PosedCamera]) -> tuple[list[PosedCamera], list[Path]]:
    """The cameras that have a picture below `folder`, and those pictures. A line counts the others: pictures are often
    sorted out after calibration. InputError as `find_images`."""
    found = find_images(folder, cameras)
    absent = [camera.name for camera, path in zip(cameras, found, strict=True) if path is None]
    if absent:
        shown = ", ".join(absent[:NAMED]) + (", ..." if len(absent) > NAMED else "")
        say(f"{folder}: no picture for {len(absent)} of {len(cameras)} cameras, which are left out: {shown}")
    pairs = [(camera, path) for camera, path in zip(cameras, found, strict=True) if path is not None]
    return [camera for camera, _ in pairs], [path for _, path in pairs]


def drive_cameras(clip: DriveClip, camera_name: str) -> list[PosedCamera]:
    """The cameras of a drive in its own world, for a camera file beside an exported scene."""
    cameras = []
    for frame in clip.frames:
        if frame.camera_name == camera_name:
            matrix = frame.camera.intrinsics.double().numpy()
            pinhole = (matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2], 0.0, 0.0, 0.0, 0.0, 0.0)
            pose = frame.camera.world_from_camera.double().numpy()
            size = (frame.camera.width, frame.camera.height)
            cameras.append(PosedCamera(frame.image_path.name, *size, tuple(map(float, pinhole)), pose))
    return cameras


def _level_frame(world_from_camera: np.ndarray, up: np.ndarray) -> np.ndarray:
    """The pose at the camera's centre with z up and x along its view as far as that is horizontal."""
    forward, image_up = world_from_camera[:3, 2], -world_from_camera[:3, 1]
    level = forward - (forward @ up) * up
    if np.linalg.norm(level) < MIN_HORIZONTAL:  # looks straight down or up: the picture's upper or lower edge is ahead
        level = -np.sign(forward @ up) * (image_up - (image_up @ up) * up)
    x = _unit(level)
    frame = np.eye(4)
    frame[:3, 0], frame[:3, 1], frame[:3, 2], frame[:3, 3] = x, np.cross(up, x), up, world_from_camera[:3, 3]
    return frame


def _require_scale(scale: float) -> None:
    if not (np.isfinite(scale) and scale > 0):
        raise InputError("scale", scale, "a positive number of metres per unit")


def _unit(vector: Sequence[float] | np.ndarray) -> np.ndarray:
    vector = np.asarray(vector, dtype=np.float64)
    length = np.linalg.norm(vector)
    if vector.shape != (3,) or not np.isfinite(length) or length == 0:
        raise InputError("up", vector.tolist(), "three numbers, not all 0")
    return vector / length
