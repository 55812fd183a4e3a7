"""Whether intrinsics belong to the pictures they stand beside, told by the principal point."""

from __future__ import annotations

from faithfusion.types import Camera, DriveClip
from faithfusion.utils.errors import InputError

SCALE_TOLERANCE = 0.15
"""Relative; a principal point off the middle by one factor on both axes, and by more than twice this, is that of a
resized picture."""


def size_of_intrinsics(camera: Camera) -> tuple[int, int] | None:
    """Width and height of the pictures that the intrinsics were made for; None if those may be the camera's own."""
    factor_x = 2.0 * float(camera.intrinsics[0, 2]) / camera.width
    factor_y = 2.0 * float(camera.intrinsics[1, 2]) / camera.height
    one_factor = min(factor_x, factor_y) > 0 and abs(factor_x / factor_y - 1.0) < SCALE_TOLERANCE
    if not one_factor or max(abs(factor_x - 1.0), abs(factor_y - 1.0)) <= 2 * SCALE_TOLERANCE:
        return None
    return round(camera.width * factor_x), round(camera.height * factor_x)


def require_own_intrinsics(clip: DriveClip) -> None:
    """InputError for a camera whose intrinsics are those of pictures of another size, which no fit can mend."""
    for name in clip.camera_names:
        camera = clip.frame(0, name).camera
        size = size_of_intrinsics(camera)
        if size is not None:
            found = f"intrinsics of pictures of about {size[0]}x{size[1]}"
            where = clip.root / "intrinsics" / f"{name}.txt"
            raise InputError(where, found, f"those of the camera's pictures, {camera.width}x{camera.height}")
