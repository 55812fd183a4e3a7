"""Cheap checks of image files: size and wholeness without decoding a pixel."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, UnidentifiedImageError

from faithfusion.utils.errors import InputError

END_MARKERS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xae\x42\x60\x82"}
TAIL_BYTES = 4096  # cameras pad their files with zeros or append a small block after the end marker


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) of a JPEG or PNG; InputError if it is missing, no image, or cut off before its end marker."""
    try:
        with Image.open(path) as image:
            size, kind = image.size, image.format
    except FileNotFoundError:
        raise InputError(path, "no such file", "an image") from None
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise InputError(path, f"cannot be opened as an image ({error})", "a JPEG or PNG file") from None
    if kind not in END_MARKERS:
        raise InputError(path, f"format {kind}", "a JPEG or PNG file")
    if END_MARKERS[kind] not in _tail(path):
        raise InputError(path, f"cut off: the {kind} end marker is missing", "a whole image")
    return size


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        length = file.seek(0, 2)
        file.seek(max(0, length - TAIL_BYTES))
        return file.read()
