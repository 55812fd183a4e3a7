"""Columns of a plain PLY of Gaussians as fields, in the dialects of the programs that write it.

3DGS: f_dc_0..2 and f_rest_* (spherical harmonics), opacity (logit), scale_0..2 (log), rot_0..3 (wxyz). 2DGS has no
scale_2, because its Gaussians are discs; some programs give red, green, blue instead of f_dc_*, or write the values
after activation under the same names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from faithfusion.scene.ply_header import columns, harmonic_columns, numbered
from faithfusion.scene.whole_rows import THIN
from faithfusion.utils.errors import InputError
from faithfusion.utils.harmonics import SH_0
from faithfusion.utils.progress import say

Activated = Literal["scales", "opacities"]
RGB = ["red", "green", "blue"]
MIN_TELLING = 16
"""Of fewer Gaussians the range of the values tells nothing."""


def plain_fields(path: Path, rows: np.ndarray, activated: Sequence[Activated]) -> dict[str, np.ndarray]:
    """The fields of `types.Gaussians` before activation, means in float64 if the file has them so.

    Values that look as if they were activated already, and are not named so, are reported in one line. InputError for
    an absent column.
    """
    logits = columns(path, rows, ["opacity"])[:, 0]
    flat = "scale_0" in rows.dtype.names and "scale_2" not in rows.dtype.names
    log_scales = columns(path, rows, numbered("scale_", 2 if flat else 3))
    _report_activated(path, {"scales": log_scales, "opacities": logits}, activated)
    with np.errstate(divide="ignore", invalid="ignore"):  # a scale of 0 and opacities of 0 and 1 have infinite ones
        log_scales = np.log(log_scales) if "scales" in activated else log_scales
        logits = np.log(logits / (1.0 - logits)) if "opacities" in activated else logits
    if flat:
        log_scales = np.concatenate([log_scales, log_scales.min(1, keepdims=True) + np.log(THIN)], axis=1)
    double = any(rows.dtype[name] == np.float64 for name in "xyz" if name in rows.dtype.names)
    return {
        "means": columns(path, rows, ["x", "y", "z"], np.float64 if double else np.float32),
        "quats": columns(path, rows, numbered("rot_", 4)),
        "log_scales": log_scales.astype(np.float32),
        "opacity_logits": logits,
        "colors": np.concatenate([_constant(path, rows)[:, None], harmonic_columns(path, rows)], axis=1),
    }


def _constant(path: Path, rows: np.ndarray) -> np.ndarray:
    """Coefficients of the constant harmonic, [n, 3]; from red, green, blue where there are no others."""
    if "f_dc_0" in rows.dtype.names or not set(RGB) <= set(rows.dtype.names):
        return columns(path, rows, numbered("f_dc_", 3))
    rgb, kind = columns(path, rows, RGB), rows.dtype["red"]
    if kind.kind in "iu":
        rgb = rgb / np.float32(np.iinfo(kind).max)
    elif np.nanmax(rgb, initial=0.0) > 1.0:
        rgb = rgb / np.float32(255.0)
    return ((rgb - 0.5) / SH_0).astype(np.float32)


def _report_activated(path: Path, values: dict[str, np.ndarray], activated: Sequence[Activated]) -> None:
    """Log scales are negative for most Gaussians below a unit, and logits of a trained scene spread over both signs."""
    unknown = set(activated) - set(values)
    if unknown:
        raise InputError("activated", ", ".join(sorted(unknown)), "scales, opacities or both")
    found = []
    for name, limit in (("scales", np.inf), ("opacities", 1.0)):
        finite = values[name][np.isfinite(values[name])]
        telling = len(values[name]) >= MIN_TELLING and finite.size and finite.min() < finite.max()
        if name not in activated and telling and finite.min() >= 0.0 and finite.max() <= limit:
            found.append(name)
    if found:
        ranges = {"scales": "scales of 0 and more", "opacities": "opacities between 0 and 1"}
        what = " and ".join(ranges[name] for name in found)
        say(f"{path}: {what} only, as after activation; if they are (too large or foggy), read them with "
            f"--activated {' '.join(found)}")  # fmt: skip
