"""Exact views of a procedural street beside the driven path: colour, depth, instances."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from faithfusion.utils.errors import InputError
from faithfusion.utils.media import decoding, read_image


@dataclass(frozen=True)
class TrueView:
    """What a camera would have seen. `instance_ids`: 0 = static world, k + 1 = the car or person with id
    k in instances_info (`world` says how ids are given out)."""

    color: Float[Tensor, "h w 3"]
    depth: Float[Tensor, "h w"]  # camera z at pixel centres, metres; 0 = sky
    instance_ids: Int[Tensor, "h w"]
    sky: Bool[Tensor, "h w"]


def shift_folder(root: Path, shift_m: float) -> Path:
    """Folder of the true views at a lateral shift (left is positive), to a centimetre."""
    return root / "truth" / f"{shift_m + 0.0:+.2f}m"


def truth_paths(root: Path, shift_m: float, camera_name: str, t: int) -> tuple[Path, Path, Path]:
    """Colour PNG, depth NPZ and 16-bit instance PNG of one true view."""
    folder, stem = shift_folder(root, shift_m), f"{t:03d}_{camera_name}"
    return folder / "images" / f"{stem}.png", folder / "depth" / f"{stem}.npz", folder / "instance_ids" / f"{stem}.png"


def has_truth(root: Path, shift_m: float) -> bool:
    """Whether true views at this shift were written."""
    return shift_folder(Path(root), shift_m).is_dir()


def true_shifts(root: Path) -> tuple[float, ...]:
    """All shifts with true views, ascending; empty for a recorded drive."""
    folders = (Path(root) / "truth").glob("*m")
    return tuple(sorted(float(folder.name[:-1]) for folder in folders if folder.is_dir()))


def load_truth(root: Path, shift_m: float, camera_name: str, t: int) -> TrueView:
    """The true view of one camera at one time stamp.

    Raises InputError if the shift was not written, or a file is missing, damaged or of another size.
    """
    root = Path(root)
    if not has_truth(root, shift_m):
        raise InputError(shift_folder(root, shift_m), "no such folder", f"one of the shifts {true_shifts(root)} in m")
    color_path, depth_path, ids_path = truth_paths(root, shift_m, camera_name, t)
    color = read_image(color_path)
    depth, ids = _read_depth(depth_path), _read_ids(ids_path)
    for path, array in ((depth_path, depth), (ids_path, ids)):
        if array.shape != color.shape[:2]:
            raise InputError(path, f"size {tuple(array.shape)}", f"the image's size {tuple(color.shape[:2])}")
    return TrueView(color, depth, ids, depth == 0)


def _read_depth(path: Path) -> Float[Tensor, "h w"]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return torch.from_numpy(archive["depth"].astype(np.float32))
    except FileNotFoundError:
        raise InputError(path, "no such file", "a depth map") from None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(path, f"cannot be read ({error})", "an npz file with the array `depth`") from None


def _read_ids(path: Path) -> Int[Tensor, "h w"]:
    with decoding(path) as image:
        return torch.from_numpy(np.asarray(image).astype(np.int64))
