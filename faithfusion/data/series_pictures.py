"""Pictures of one series as one pinhole camera took them, whatever size, intrinsics, lens and orientation each has.

Pictures whose cameras agree are copied untouched. Else they are resampled: every pixel of the common camera is looked
up where the picture's own lens put it, and what the picture does not show becomes transparent.
"""

from __future__ import annotations

import dataclasses
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

from faithfusion.data.image_files import exif_orientation, image_size
from faithfusion.data.posed_camera import PosedCamera
from faithfusion.data.wide_lens import WideLens, reach
from faithfusion.utils.errors import InputError
from faithfusion.utils.media import decoding, rgb_bytes
from faithfusion.utils.progress import say

ASPECT_TOLERANCE = 0.01
FIRST_ON_ITS_SIDE = 5  # EXIF orientations from here on exchange width and height
OVERSAMPLED = 1.3
"""Pictures of a focal length that many times the common one are made smaller first, so that nothing aliases."""


@dataclass(frozen=True)
class Series:
    """Pictures of one camera, ready to be written.

    Attributes:
        pinhole: fx fy cx cy k1 k2 p1 p2 k3 of all pictures as they are written.
        size: Their width and height.
        views: For each picture its own camera, with intrinsics for the picture's own size.
        upright: Whether pictures are turned as their EXIF orientation says.
        resampled: Whether the pictures become those of one pinhole camera.
    """

    pinhole: tuple[float, ...]
    size: tuple[int, int]
    views: tuple[PosedCamera, ...]
    paths: tuple[Path, ...]
    upright: bool
    resampled: bool

    def encoded(self) -> Iterator[bytes]:
        """The files' contents one by one: as they are, or PNG where pixels were turned or resampled."""
        for view, path in zip(self.views, self.paths, strict=True):
            turned = self.upright and exif_orientation(path) != 1
            if not (turned or self.resampled):
                yield path.read_bytes()
                continue
            with decoding(path) as image:
                shown = ImageOps.exif_transpose(image) if turned else image
                pixels = rgb_bytes(shown)
                if not shown.mode.startswith("I") and shown.has_transparency_data:
                    pixels = np.dstack([pixels, np.asarray(shown.convert("RGBA"))[..., 3]])
            yield _png(resample(pixels, view, self.pinhole, self.size) if self.resampled else pixels)


def plan_series(cameras: Sequence[PosedCamera], paths: Sequence[Path], *, upright: bool = False) -> Series:
    """How the pictures become one camera's; one of `paths` per camera. A line says what is done to them.

    InputError for a damaged picture, one of another shape than its camera, and cameras that differ although their
    pictures lie in different folders, which are those of different cameras.
    """
    views = tuple(_own_camera(camera, path, upright) for camera, path in zip(cameras, paths, strict=True))
    turned = [path for path in paths if exif_orientation(path) != 1]
    if turned and not upright:
        say(f"{turned[0].parent}: the EXIF orientation of {len(turned)} of {len(paths)} pictures asks for a turn; they "
            "are taken as they are stored; if the cameras are those of the turned pictures, pass --apply_exif"
        )  # fmt: skip
    first = views[0]
    if first.lens is None and all(_calibration(view) == _calibration(first) for view in views):
        return Series(first.pinhole, (first.width, first.height), views, tuple(paths), upright, resampled=False)
    other = next((view for view in views if _calibration(view) != _calibration(first)), first)
    if PurePosixPath(other.name).parent != PurePosixPath(first.name).parent:
        found = f"{other.name} differs from {first.name} in size or intrinsics"
        raise InputError("cameras", found, "one series of one camera (choose it with --match)")
    size = Counter((view.width, view.height) for view in views).most_common(1)[0][0]
    typical = np.median([view.pinhole[:4] for view in views if (view.width, view.height) == size], axis=0)
    pinhole = (*map(float, typical), *(0.0,) * 5)
    why = "their lens is no simple one" if other is first else "they differ in size, intrinsics or lens"
    say(f"{len(views)} pictures are resampled to one pinhole camera of {size[0]}x{size[1]} with a focal length of "
        f"{pinhole[0]:.1f} pixels: {why}")  # fmt: skip
    return Series(pinhole, size, views, tuple(paths), upright, resampled=True)


def resample(
    pixels: np.ndarray, view: PosedCamera, pinhole: tuple[float, ...], size: tuple[int, int]
) -> np.ndarray:  # fmt: skip
    """uint8 [H, W, 3 or 4] of a picture as the camera `pinhole` of `size` (width, height) sees it; bicubic. With a
    fourth channel (0 = transparent) if the picture does not show all of that."""
    shrink = int(max(view.pinhole[0] / pinhole[0], view.pinhole[1] / pinhole[1]) / OVERSAMPLED)
    if shrink > 1:
        width, height = max(1, view.width // shrink), max(1, view.height // shrink)
        scale = np.repeat([width / view.width, height / view.height], 1)
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX))
        fx, fy, cx, cy, *rest = view.pinhole
        own = (fx * scale[0], fy * scale[1], cx * scale[0], cy * scale[1], *rest)
        view = dataclasses.replace(view, width=width, height=height, pinhole=own)
    source, shown = _source_pixels(view, pinhole, size)
    grid = torch.from_numpy(source / [view.width, view.height] * 2.0 - 1.0).float()[None]
    planes = torch.from_numpy(np.array(pixels)).float().permute(2, 0, 1)[None]
    how = {"align_corners": False, "padding_mode": "border"}
    color = F.grid_sample(planes[:, :3], grid, mode="bicubic", **how)[0].clamp(0, 255).round().to(torch.uint8)
    alpha = np.where(shown, 255, 0).astype(np.uint8)
    if planes.shape[1] == 4:
        alpha = np.minimum(alpha, F.grid_sample(planes[:, 3:], grid, mode="nearest", **how)[0, 0].byte().numpy())
    image = color.permute(1, 2, 0).numpy()
    return image if alpha.min() == 255 else np.dstack([image, alpha])


def _source_pixels(view: PosedCamera, pinhole: tuple[float, ...], size: tuple[int, int]) -> tuple:
    """Where the pixels of the common camera lie in the picture, [H, W, 2], and which of them it shows, [H, W]."""
    u, v = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    fx, fy, cx, cy = pinhole[:4]
    rays = np.stack([(u - cx) / fx, (v - cy) / fy], -1)
    lens = view.lens or WideLens("rational", (*view.pinhole[4:], 0.0, 0.0, 0.0))
    source = lens.distort(rays) * view.pinhole[:2] + view.pinhole[2:4]
    inside = ((source >= 0) & (source <= [view.width, view.height])).all(-1)
    return source, inside & (np.linalg.norm(rays, axis=-1) < reach(lens))


def _own_camera(camera: PosedCamera, path: Path, upright: bool) -> PosedCamera:
    """The camera with intrinsics for the size its picture has."""
    width, height = image_size(path)
    on_its_side = exif_orientation(path) >= FIRST_ON_ITS_SIDE
    if upright and on_its_side:
        width, height = height, width
    ratio_x, ratio_y = width / camera.width, height / camera.height
    if abs(ratio_x / ratio_y - 1.0) > ASPECT_TOLERANCE:
        turn = "stored on its side by its EXIF orientation (turn it with --apply_exif)"
        found = f"size {width}x{height}" + (f", {turn}" if on_its_side and not upright else "")
        raise InputError(path, found, f"the shape of its camera, {camera.width}x{camera.height}")
    fx, fy, cx, cy, *distortion = camera.pinhole
    pinhole = (fx * ratio_x, fy * ratio_y, cx * ratio_x, cy * ratio_y, *distortion)
    return dataclasses.replace(camera, width=width, height=height, pinhole=pinhole)


def _calibration(view: PosedCamera) -> tuple:
    return view.width, view.height, view.pinhole, view.lens


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
