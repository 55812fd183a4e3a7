"""Finds the layout of a drive from what lies in its folder.

Every layout of the table that the folder contradicts is crossed out. The extrinsics show the camera axes: the third
axis points up if they are x forward, y left, z up, and the second axis points down if they are OpenCV's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from faithfusion.data.calibration_text import read_intrinsics, read_pose
from faithfusion.data.image_files import image_size
from faithfusion.data.layouts import LAYOUTS, MARKER, WAYMO, Layout, layout_named, read_marker
from faithfusion.utils.errors import InputError

PER_FRAME = re.compile(r"\d{3,}_.+")
LEVEL = 0.5
"""The axis that points up or down has at least this vertical part, because cameras tilt by less than 60 degrees."""
SAME_ASPECT = 0.04
"""Aspect ratios may differ by this share: resized pictures keep theirs, but KITTI's vary by a few pixels."""
NUM_SCANS = 64


def find_layout(root: Path, forced: str | None = None) -> Layout:
    """The layout of a drive: the `forced` one, else the one its `layout.json` names, else what the folder shows.

    InputError for an unknown name, and for a folder that fits several layouts or none.
    """
    if forced is not None:
        return layout_named(forced, root)
    marker = read_marker(root)
    if "layout" in marker:
        return layout_named(marker["layout"], root / MARKER)
    extrinsics = sorted((root / "extrinsics").glob("*.txt"))
    per_frame = all(PER_FRAME.fullmatch(path.stem) for path in extrinsics)
    axes = _camera_axes(extrinsics)
    if not extrinsics:
        return WAYMO  # the reader says what is missing
    if axes == "flu" and not per_frame:
        alone = [each for each in LAYOUTS.values() if each.camera_axes == "flu" and not each.extrinsics_per_frame]
        if len(alone) == 1:
            return alone[0]  # whatever else is wrong, the reader says it
    evidence = _look(root, per_frame, axes)
    left = [layout for layout in LAYOUTS.values() if all(fits(layout, evidence) for fits in RULES)]
    # picture shapes come last: they decide nothing if somebody cropped the pictures
    left = [layout for layout in left if _has_its_picture_shapes(layout, evidence)] or left
    if len(left) == 1:
        return left[0]
    choices = [layout.name for layout in left] or list(LAYOUTS)
    found = f"fits the layouts {' and '.join(choices)}" if left else f"fits no known layout: {evidence}"
    raise InputError(root, found, f'a {MARKER} with {{"layout": NAME}}, NAME one of {", ".join(choices)}')


@dataclass(frozen=True)
class Evidence:
    """What a drive's folder shows about its layout."""

    extrinsics_per_frame: bool
    has_ego_pose: bool
    has_scan_pose: bool
    camera_axes: str  # "flu", "opencv", or "unclear" if no pose tells
    is_distorted: bool
    scan_bytes: tuple[int, ...]
    sizes: tuple[tuple[str, int, int], ...]  # camera, width, height

    def __str__(self) -> str:
        """A short description for an error message."""
        each = "per frame" if self.extrinsics_per_frame else "per camera"
        return f"extrinsics {each} with {self.camera_axes} axes, {len(self.sizes)} cameras"


def _look(root: Path, per_frame: bool, axes: str) -> Evidence:
    return Evidence(
        extrinsics_per_frame=per_frame,
        has_ego_pose=(root / "ego_pose").is_dir(),
        has_scan_pose=(root / "lidar_pose").is_dir(),
        camera_axes=axes,
        is_distorted=_is_distorted(root),
        scan_bytes=tuple(path.stat().st_size for path in sorted((root / "lidar").glob("*.bin"))[:NUM_SCANS]),
        sizes=_picture_sizes(root),
    )


def _camera_axes(extrinsics: Sequence[Path]) -> str:
    """The axes that the first readable pose shows; damaged files are left for the reader to refuse."""
    for path in extrinsics:
        with suppress(InputError):
            up = read_pose(path)[2, :3]
            if up[2] > LEVEL:
                return "flu"
            if up[1] < -LEVEL:
                return "opencv"
    return "unclear"


def _is_distorted(root: Path) -> bool:
    return any(read_intrinsics(path)[1].any() for path in sorted((root / "intrinsics").glob("*.txt")))


def _picture_sizes(root: Path) -> tuple[tuple[str, int, int], ...]:
    first: dict[str, Path] = {}
    for path in sorted((root / "images").iterdir()):
        _, _, camera = path.stem.partition("_")
        if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
            first.setdefault(camera, path)
    return tuple((camera, *image_size(path)) for camera, path in first.items())


def _has_its_poses(layout: Layout, seen: Evidence) -> bool:
    if layout.extrinsics_per_frame != seen.extrinsics_per_frame:
        return False
    if not seen.extrinsics_per_frame:
        return True  # without ego poses the reader says so
    return layout.ego_pose == (seen.has_ego_pose and not seen.has_scan_pose)


def _has_its_axes(layout: Layout, seen: Evidence) -> bool:
    return seen.camera_axes in (layout.camera_axes, "unclear")


def _has_its_lens(layout: Layout, seen: Evidence) -> bool:
    return layout.lens == "distorted" or not seen.is_distorted


def _has_its_cameras(layout: Layout, seen: Evidence) -> bool:
    return all(int(name) < len(layout.cameras) for name, _, _ in seen.sizes if name.isdigit())


def _has_its_scans(layout: Layout, seen: Evidence) -> bool:
    return all(size % (4 * layout.scan_columns) == 0 for size in seen.scan_bytes)


def _has_its_picture_shapes(layout: Layout, seen: Evidence) -> bool:
    numbered = [(int(name), width / height) for name, width, height in seen.sizes if name.isdigit()]
    aspects = [width / height for width, height in layout.image_sizes]
    return all(i < len(aspects) and abs(aspect / aspects[i] - 1.0) < SAME_ASPECT for i, aspect in numbered)


RULES: Sequence[Callable[[Layout, Evidence], bool]] = (
    _has_its_poses,
    _has_its_axes,
    _has_its_lens,
    _has_its_cameras,
    _has_its_scans,
)
