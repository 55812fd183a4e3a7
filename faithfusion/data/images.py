"""Pixels of a frame, decoded on demand and undistorted when the camera's intrinsics file has distortion."""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from faithfusion.data.lens import LensMap, lens_map, remap
from faithfusion.types import Frame
from faithfusion.utils.errors import InputError
from faithfusion.utils.media import read_alpha, read_image, read_mask

MASK_THRESHOLD = 0.5


def load_image(frame: Frame) -> Float[Tensor, "h w 3"]:
    """The frame's colour in [0, 1] as a pinhole camera with the same intrinsics sees it.

    Where the lens saw nothing (`load_valid_mask`) the edge repeats, and the colour that lies under transparent pixels
    is replaced by the nearest one that is shown. InputError if the file is damaged or has changed its size.
    """
    image = _require_size(read_image(frame.image_path), frame, frame.image_path)
    hidden = _transparent(frame)
    image = image if hidden is None else _fill(image, hidden)
    lens = _lens_of(frame)
    return image if lens is None else remap(image, lens.grid, mode="bilinear")


def load_valid_mask(frame: Frame) -> Bool[Tensor, "h w"] | None:
    """True where the lens saw the pixel of the undistorted image; None if it saw all of them."""
    lens = _lens_of(frame)
    return None if lens is None else lens.seen


def load_sky_mask(frame: Frame) -> Bool[Tensor, "h w"] | None:
    """True in the sky; None if the clip has no sky mask for this frame. InputError as `load_image`."""
    return _load_mask(frame, frame.sky_mask_path)


def load_dynamic_mask(frame: Frame) -> Bool[Tensor, "h w"] | None:
    """True on moving objects; None if the clip has no dynamic mask for this frame. InputError as `load_image`."""
    return _load_mask(frame, frame.dynamic_mask_path)


def load_ego_mask(frame: Frame) -> Bool[Tensor, "h w"] | None:
    """True on the recording vehicle itself; None if the clip has no mask of it. InputError as `load_image`."""
    return _load_mask(frame, frame.ego_mask_path)


def load_mount_mask(frame: Frame) -> Bool[Tensor, "h w"] | None:
    """True where the recording vehicle covers the world or the lens did not see it, which holds for all pictures of a
    camera. None if every pixel shows the world."""
    ego, valid = load_ego_mask(frame), load_valid_mask(frame)
    if valid is None:
        return ego
    return ~valid if ego is None else ego | ~valid


def load_blind_mask(frame: Frame) -> Bool[Tensor, "h w"] | None:
    """True where a picture does not show the world: `load_mount_mask`, and transparent pixels of this picture.

    None if every pixel shows the world.
    """
    mount, hidden = load_mount_mask(frame), _transparent(frame)
    if hidden is None:
        return mount
    lens = _lens_of(frame)
    if lens is not None:
        hidden = remap(hidden[..., None].float(), lens.grid, mode="nearest")[..., 0] > MASK_THRESHOLD
    return hidden if mount is None else mount | hidden


def _transparent(frame: Frame) -> Bool[Tensor, "h w"] | None:
    """True where the recorded picture is transparent rather than not; None if it is so nowhere."""
    alpha = read_alpha(frame.image_path)
    return None if alpha is None or bool((alpha > MASK_THRESHOLD).all()) else alpha <= MASK_THRESHOLD


def _fill(image: Float[Tensor, "h w 3"], hidden: Bool[Tensor, "h w"]) -> Float[Tensor, "h w 3"]:
    """The image with the nearest shown colour in hidden pixels; as it is if nothing is shown."""
    if bool(hidden.all()):
        return image
    rows, columns = distance_transform_edt(hidden.numpy(), return_distances=False, return_indices=True)
    return image[torch.from_numpy(rows).long(), torch.from_numpy(columns).long()]


def _load_mask(frame: Frame, path: Path | None) -> Bool[Tensor, "h w"] | None:
    if path is None:
        return None
    mask = _require_size(read_mask(path), frame, path)[..., None]
    lens = _lens_of(frame)
    return (mask if lens is None else remap(mask, lens.grid, mode="nearest"))[..., 0] > MASK_THRESHOLD


def _require_size(image: Tensor, frame: Frame, path: Path) -> Tensor:
    height, width = image.shape[:2]
    if (width, height) != (frame.camera.width, frame.camera.height):
        raise InputError(path, f"size {width}x{height}", f"{frame.camera.width}x{frame.camera.height}")
    return image


def _lens_of(frame: Frame) -> LensMap | None:
    path = frame.image_path.parent.parent / "intrinsics" / f"{frame.camera_name}.txt"
    return lens_map(path, frame.camera.width, frame.camera.height)
