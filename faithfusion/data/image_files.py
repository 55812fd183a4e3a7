"""Cheap checks of image files: size and wholeness without decoding a pixel."""

from __future__ import annotations

from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from faithfusion.utils.errors import InputError

END_MARKERS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xae\x42\x60\x82"}
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
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


def exif_orientation(path: Path) -> int:
    """How a program that heeds EXIF turns the stored pixels before it shows them: 1 to 8, 1 = as they are (EXIF 2.32,
    tag 274). 1 for files that say nothing and files that are none."""
    try:
        with Image.open(path) as image:
            found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except (OSError, SyntaxError, ValueError):
        return 1
    return found if found in range(1, 9) else 1


def is_picture(path: Path) -> bool:
    """Whether a file's name ends as that of a JPEG or PNG, in capitals or not."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def picture_named(path: Path) -> Path | None:
    """The picture of a path that may lack its suffix or have another one; None if there is none."""
    if path.is_file():
        return path
    if not path.parent.is_dir():
        return None
    stems = (path.name, path.stem) if is_picture(path) else (path.name,)
    near = sorted(other for other in path.parent.iterdir() if is_picture(other))
    return next((other for stem in stems for other in near if other.stem == stem), None)


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        length = file.seek(0, 2)
        file.seek(max(0, length - TAIL_BYTES))
        return file.read()
