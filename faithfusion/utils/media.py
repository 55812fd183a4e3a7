"""Pictures and videos in and out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError


def read_image(path: Path) -> Float[Tensor, "h w 3"]:
    """An RGB image in [0, 1]; grey of 16 bits is scaled by its depth. InputError if it is missing or damaged."""
    with decoding(path) as image:
        return torch.from_numpy(rgb_bytes(image).astype(np.float32) / 255.0)


def read_alpha(path: Path) -> Float[Tensor, "h w"] | None:
    """How opaque the pixels of an image are, 0 to 1; None if all of them are. InputError as `read_image`."""
    with decoding(path) as image:
        if image.mode.startswith("I") or not image.has_transparency_data:
            return None
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
    return None if alpha.min() == 255 else torch.from_numpy(alpha.astype(np.float32) / 255.0)


def rgb_bytes(image: Image.Image) -> np.ndarray:
    """Colours of an opened image, uint8 [H, W, 3]. PIL cuts 16 bits of grey off at 255; here the high byte is taken."""
    if image.mode.startswith("I"):
        grey = (np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    return np.asarray(image.convert("RGB"))


def read_mask(path: Path) -> Float[Tensor, "h w"]:
    """A grey mask in [0, 1]. InputError if it is missing or damaged."""
    with decoding(path) as image:
        return torch.from_numpy(np.asarray(image.convert("L")).astype(np.float32) / 255.0)


@contextmanager
def decoding(path: Path) -> Iterator[Image.Image]:
    """Yields the opened image; InputError if it is missing, or damaged as its pixels are decoded inside."""
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise InputError(path, "no such file", "an image") from None
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise InputError(path, f"cannot be decoded ({error})", "a whole image") from None


def to_uint8(image: Float[Tensor, "*shape"]) -> np.ndarray:
    """Values in [0, 1] as rounded bytes."""
    return image.detach().cpu().clamp(0, 1).mul_(255.0).add_(0.5).to(torch.uint8).numpy()


def write_image(path: Path, image: Float[Tensor, "h w 3"] | np.ndarray) -> None:
    """Writes PNG or JPEG by suffix; float images in [0, 1] or uint8 arrays."""
    with atomic_file(path) as temporary:
        Image.fromarray(image if isinstance(image, np.ndarray) else to_uint8(image)).save(temporary, quality=95)


def write_video(
    path: Path, video: Float[Tensor, "t h w 3"] | np.ndarray | Iterable[np.ndarray], frame_rate_hz: float
) -> None:
    """Writes an H.264 mp4; odd sizes are padded by one pixel, because yuv420p needs even ones. Arrays are uint8, and
    single frames are taken one by one, so that they need not all exist at once."""
    with (
        atomic_file(path) as temporary,
        imageio.get_writer(
            temporary, fps=frame_rate_hz, codec="libx264", macro_block_size=1, output_params=["-crf", "18"]
        ) as writer,
    ):
        for frame in video:
            pixels = frame if isinstance(frame, np.ndarray) else to_uint8(frame)
            pad = [(0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)]
            writer.append_data(np.pad(pixels, pad, mode="edge"))
