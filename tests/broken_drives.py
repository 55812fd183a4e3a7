"""A small sound street and ways to break it: each changes files so that they still parse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from faithfusion.data.layouts import OPENCV2DATASET
from faithfusion.street.street_config import StreetConfig
from faithfusion.street.writer import make_street

CAMERAS = ("0", "1", "2")
SMALL_STREET = StreetConfig(
    seed=1, num_frames=10, width=160, height=96, samples_per_pixel=1, shifts_m=(), truth_cameras=(), lidar_beams=40,
    lidar_columns=300, num_workers=1,
)  # fmt: skip


def make_sound_drive(root: Path) -> Path:
    """The street, marked as Waymo's layout so that wrong axes are not taken for another data set's."""
    make_street(SMALL_STREET, root)
    (root / "layout.json").write_text('{"layout": "waymo"}')
    return root


def change_matrices(folder: Path, change: Callable[[np.ndarray], np.ndarray], names: tuple[str, ...] = ()) -> None:
    """Rewrites the 4x4 matrices of a folder, or only `names`."""
    for path in [folder / f"{name}.txt" for name in names] or sorted(folder.glob("*.txt")):
        np.savetxt(path, change(np.loadtxt(path)))


def poses(root: Path) -> list[np.ndarray]:
    """World from ego of every frame."""
    return [np.loadtxt(path) for path in sorted((root / "ego_pose").glob("*.txt"))]


def change_scans(root: Path, change: Callable[[np.ndarray, int], np.ndarray]) -> None:
    """Rewrites the points [N, 3] of every scan, given the time index."""
    for path in sorted((root / "lidar").glob("*.bin")):
        rows = np.fromfile(path, np.float32).reshape(-1, 14)
        rows[:, 3:6] = change(rows[:, 3:6].astype(np.float64), int(path.stem))
        rows.tofile(path)


def change_boxes(root: Path, change: Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]) -> None:
    """Rewrites (world_from_box, size) of every box, given the time index."""
    path = root / "instances" / "instances_info.json"
    info = json.loads(path.read_text())
    for entry in info.values():
        notes = entry["frame_annotations"]
        for i, t in enumerate(notes["frame_idx"]):
            pose, size = change(np.array(notes["obj_to_world"][i]), np.array(notes["box_size"][i]), t)
            notes["obj_to_world"][i], notes["box_size"][i] = pose.tolist(), size.tolist()
    path.write_text(json.dumps(info))


def change_pictures(folder: Path, change: Callable[[np.ndarray], np.ndarray], pattern: str = "*") -> None:
    """Rewrites the pictures of a folder."""
    for path in sorted(folder.glob(pattern)):
        Image.fromarray(change(np.asarray(Image.open(path)))).save(path, quality=96)


def exchange(a: Path, b: Path) -> None:
    """Two files swap their names."""
    content = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(content)


def exchange_frames(root: Path, first: int, second: int, folders: tuple[str, ...]) -> None:
    """All files of two time stamps swap their names."""
    for folder in folders:
        for path in sorted((root / folder).glob(f"{first:03d}*")):
            exchange(path, path.with_name(path.name.replace(f"{first:03d}", f"{second:03d}", 1)))


def turn(axis: int, degrees: float) -> np.ndarray:
    """Right-handed rotation [4, 4] about x, y or z."""
    i, j, angle = (axis + 1) % 3, (axis + 2) % 3, np.radians(degrees)
    matrix = np.eye(4)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
    return matrix


def moved(offset: tuple[float, float, float]) -> np.ndarray:
    """Translation [4, 4]."""
    matrix = np.eye(4)
    matrix[:3, 3] = offset
    return matrix


def transform(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points [N, 3] under a 4x4 matrix."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def scale_intrinsics(root: Path, factor: float) -> None:
    """All cameras' intrinsics as of an image `factor` times as large."""
    for path in (root / "intrinsics").glob("*.txt"):
        values = np.loadtxt(path)
        values[:4] *= factor
        np.savetxt(path, values)


def set_distortion(root: Path, values: tuple[float, ...]) -> None:
    """k1 k2 p1 p2 k3 of camera 1."""
    path = root / "intrinsics" / "1.txt"
    np.savetxt(path, [*np.loadtxt(path)[:4], *values])


def longer_focal(root: Path) -> None:
    """Focal lengths of camera 1 are 1.4 times too long."""
    path = root / "intrinsics" / "1.txt"
    np.savetxt(path, np.loadtxt(path) * np.array([1.4, 1.4, 1, 1, 1, 1, 1, 1, 1]))


def swap_cameras(root: Path) -> None:
    """The images of cameras 1 and 2 change places."""
    for path in sorted((root / "images").glob("*_1.jpg")):
        exchange(path, path.with_name(path.name.replace("_1", "_2")))


def repeat_images(root: Path) -> None:
    """Frames 4 and 5 show frame 3 again."""
    for name in CAMERAS:
        for t in (4, 5):
            (root / "images" / f"{t:03d}_{name}.jpg").write_bytes((root / "images" / f"003_{name}.jpg").read_bytes())


def other_ego_axes(root: Path) -> None:
    """A drive that is right in itself, with an ego frame x right, y down, z forward."""
    new_from_old = np.linalg.inv(OPENCV2DATASET)
    change_matrices(root / "ego_pose", lambda pose: pose @ np.linalg.inv(new_from_old))
    change_matrices(root / "extrinsics", lambda pose: new_from_old @ pose)
    change_scans(root, lambda points, t: transform(points, new_from_old))


def lidar_from_next_frame(root: Path) -> None:
    """Every scan is repeated once: 0, 0, 2, 2, ..."""
    for t in range(1, SMALL_STREET.num_frames, 2):
        (root / "lidar" / f"{t:03d}.bin").write_bytes((root / "lidar" / f"{t - 1:03d}.bin").read_bytes())


ALL_FOLDERS = ("images", "ego_pose", "lidar", "sky_masks", "dynamic_masks/all")
FLIP_HEADING = turn(2, 180.0)
Damage = tuple[Callable[[Path], object], str]

# name: (what is done to the drive, what the verdict must say)
BROKEN: dict[str, Damage] = {
    "extrinsics in OpenCV axes": (
        lambda r: change_matrices(r / "extrinsics", lambda m: m @ OPENCV2DATASET),
        r"^broken: cameras 0, 1, 2: wrong axes in the extrinsics",
    ),
    "extrinsics inverted": (
        lambda r: change_matrices(r / "extrinsics", np.linalg.inv),
        r"^broken: cameras 0, 1, 2: -1.6 m over the LiDAR's ground: extrinsics inverted",
    ),
    "camera yawed by 6 degrees": (
        lambda r: change_matrices(r / "extrinsics", lambda m: m @ turn(2, 6.0), ("1",)),
        r"^broken: camera 1: extrinsics are turned by about [4-9] degrees",
    ),
    "camera yawed by 90 degrees": (
        lambda r: change_matrices(r / "extrinsics", lambda m: m @ turn(2, 90.0), ("0",)),
        r"^broken: camera 0: .*images",
    ),
    "cameras swapped": (swap_cameras, r"^broken: cameras 1 and 2: are swapped"),
    "intrinsics of twice the size": (
        lambda r: scale_intrinsics(r, 2.0),
        r"^broken: cameras 0, 1, 2: intrinsics of another image size, about 320x192",
    ),
    "intrinsics of half the size": (
        lambda r: scale_intrinsics(r, 0.5),
        r"^broken: cameras 0, 1, 2: intrinsics of another image size, about 80x48",
    ),
    "focal length": (longer_focal, r"^broken: camera 1: .*focal lengths 0.7 times as long would"),
    "folding lens": (
        lambda r: set_distortion(r, (-6.0, 0.0, 0.0, 0.0, 0.0)),
        r"^broken: camera 1: lens distortion -6 0 0 0 0 is no lens",
    ),
    "exploding lens": (
        lambda r: set_distortion(r, (9.0, 0.0, 0.0, 0.0, 0.0)),
        r"^broken: camera 1: lens distortion 9 0 0 0 0 is no lens",
    ),
    "poses inverted": (
        lambda r: change_matrices(r / "ego_pose", np.linalg.inv),
        r"^broken: poses: .*inverted",
    ),
    "ego axes of a camera": (other_ego_axes, r"^broken: poses: the ego moves along its \+z \(up\) axis"),
    "poses with y forward": (
        lambda r: change_matrices(r / "ego_pose", lambda m: m @ turn(2, -90.0)),
        r"^broken: poses: the ego moves along its \+y \(left\) axis",
    ),
    "a pose off by 3 m": (
        lambda r: change_matrices(r / "ego_pose", lambda m: moved((0, 3, 0)) @ m, ("005",)),
        r"^broken: poses: the ego's place jumps at frame 5",
    ),
    "a heading off by 40 degrees": (
        lambda r: change_matrices(r / "ego_pose", lambda m: m @ turn(2, 40.0), ("005",)),
        r"^broken: poses: the ego turns by 4\d degrees within one frame at frames 5, 6",
    ),
    "poses in centimetres": (
        lambda r: change_matrices(r / "ego_pose", lambda m: m * np.c_[np.ones((4, 3)), [100, 100, 100, 1]]),
        r"^broken: poses: median speed 9\d\d m/s",
    ),
    "poses half as long": (
        lambda r: change_matrices(r / "ego_pose", lambda m: m * np.c_[np.ones((4, 3)), [0.5, 0.5, 0.5, 1]]),
        r"^broken: poses: .*twice as much motion",
    ),
    "poses that stand still": (
        lambda r: change_matrices(r / "ego_pose", lambda m: np.eye(4)),
        r"^broken: poses: the ego stands still, but the images of all cameras move",
    ),
    "frames out of order": (
        lambda r: exchange_frames(r, 5, 6, ALL_FOLDERS),
        r"^broken: poses: time stamps out of order at frames 5, 6",
    ),
    "images out of order": (
        lambda r: exchange_frames(r, 5, 6, ("images",)),
        r"^broken: images: images out of order against the poses at frames 5, 6",
    ),
    "LiDAR in the world frame": (
        lambda r: change_scans(r, lambda p, t: transform(p, poses(r)[t])),
        r"^broken: lidar: points move against the ego",
    ),
    "LiDAR far away": (
        lambda r: change_scans(r, lambda p, t: p + [120_000.0, -45_000.0, 0.0]),
        r"^broken: lidar: points lie 1\d+ m from the ego",
    ),
    "LiDAR in millimetres": (lambda r: change_scans(r, lambda p, t: p * 1000.0), r"^broken: lidar: points lie"),
    "images all black": (
        lambda r: change_pictures(r / "images", np.zeros_like),
        r"^broken: cameras 0, 1, 2: images are black: 10 of 10",
    ),
    "images overexposed": (
        lambda r: change_pictures(r / "images", lambda i: np.full_like(i, 255), "*_2.jpg"),
        r"^broken: camera 2: images are overexposed: 10 of 10",
    ),
    "one camera twice": (
        lambda r: [(r / f"images/{t:03d}_2.jpg").write_bytes((r / f"images/{t:03d}_1.jpg").read_bytes())
                   for t in range(SMALL_STREET.num_frames)],
        r"^broken: camera 2: its images are those of camera 1",
    ),
    "boxes elsewhere": (
        lambda r: change_boxes(r, lambda m, s, t: (moved((0, 60, 0)) @ m, s)),
        r"^broken: boxes: .*not where LiDAR sees objects",
    ),
    "boxes in the ego frame": (
        lambda r: change_boxes(r, lambda m, s, t: (np.linalg.inv(poses(r)[t]) @ m, s)),
        r"^broken: boxes: .*must be box to world",
    ),
    "boxes with the origin at the bottom": (
        lambda r: change_boxes(r, lambda m, s, t: (m @ moved((0, 0, -s[2] / 2)), s)),
        r"^broken: boxes: their bottoms lie .* under the ground .*not its bottom",
    ),
    "box sizes swapped": (
        lambda r: change_boxes(r, lambda m, s, t: (m, s[[1, 0, 2]])),
        r"^broken: boxes: wider than long: (\d+) of \1 vehicles",
    ),
    "box headings reversed": (
        lambda r: change_boxes(r, lambda m, s, t: (m @ FLIP_HEADING, s)),
        r"^broken: boxes: wrong heading: 4 of 4 moving vehicles",
    ),
    "sky masks inverted": (
        lambda r: change_pictures(r / "sky_masks", lambda i: 255 - i),
        r"^broken: cameras 0, 1, 2: sky masks are inverted",
    ),
    "dynamic masks inverted": (
        lambda r: change_pictures(r / "dynamic_masks/all", lambda i: 255 - i),
        r"^broken: camera.* dynamic masks cover 9\d% of the image: inverted",
    ),
}  # fmt: skip

# works, with a loss
REMARKED: dict[str, Damage] = {
    "repeated images": (repeat_images, r"^usable: 1 remark: cameras 0, 1, 2: images repeat .* 2 of 10 \(frames 4, 5\)"),
    "repeated scans": (lidar_from_next_frame, r"^usable: 1 remark: lidar: the scan repeats .* frames 1, 3, 5, 7 and 1"),
    "a black image": (
        lambda r: change_pictures(r / "images", np.zeros_like, "004_1.jpg"),
        r"^usable: 1 remark: camera 1: images are black: 1 of 10 \(frame 4\)",
    ),
    "camera yawed by 2 degrees": (
        lambda r: change_matrices(r / "extrinsics", lambda m: m @ turn(2, 2.0), ("1",)),
        r"^usable: 1 remark: camera 1: extrinsics are turned by about [12] degrees",
    ),
}
