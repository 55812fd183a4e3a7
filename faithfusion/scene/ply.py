"""Gaussians to and from the PLY files that public viewers read, plain (Kerbl et al. 2023) and compressed.

Rows that are written: x y z, nx ny nz (unused), f_dc_0..2, f_rest_* (all coefficients of red, then green, then blue),
opacity (logit), scale_0..2 (log), rot_0..3 (wxyz). What else is read stands in `plain_ply`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange

from faithfusion.scene.compressed_ply import pack_fields, unpack_fields
from faithfusion.scene.graph import GAUSSIAN_FIELDS
from faithfusion.scene.plain_ply import Activated, plain_fields
from faithfusion.scene.ply_header import (
    COEFFICIENTS,
    EXPECTED,
    GAUSSIAN_TABLES,
    PlyElement,
    numbered,
    read_ply_header,
    read_rows,
)
from faithfusion.scene.whole_rows import finite_gaussians
from faithfusion.types import Gaussians
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say

COMPRESSED_SUFFIX = ".compressed.ply"
ANTIALIASED = re.compile(r"\bmip\b|anti-?alias", re.IGNORECASE)
SWITCHED_OFF = re.compile(r"\b(0|false|no|off|none|classic)\b", re.IGNORECASE)


def export_ply(path: Path, gaussians: Gaussians) -> None:
    """Writes a plain PLY, or a compressed one if the name ends with `.compressed.ply`.

    For a moment of a scene with moving vehicles pass `gaussians_at(scene, time_index)`; Gaussians with an opacity of 0
    are left out, quaternions normalised. InputError if the harmonics are no whole degree up to 3.
    """
    rows = visible_rows(gaussians)
    content = pack_fields(rows) if path.name.lower().endswith(COMPRESSED_SUFFIX) else _plain_bytes(rows)
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def import_ply(path: Path, *, activated: Sequence[Activated] = ()) -> Gaussians:
    """Gaussians of a PLY file, plain (any order of columns) or compressed. Tables and columns of other programs are
    passed over; positions that the file holds in double precision stay in it.

    `activated` names what a plain file holds after activation ("scales" in units, "opacities" in [0, 1]). Rows with
    NaN are left out, with a line that says so. InputError if the file is missing, cut off, or holds no Gaussians (a
    mesh is called one, and an absent property is named).
    """
    header = read_ply_header(path)
    elements = header.elements
    if "vertex" not in elements:
        raise InputError(path, f"tables {', '.join(elements) or 'none'}", EXPECTED)
    if any(ANTIALIASED.search(comment) and not SWITCHED_OFF.search(comment) for comment in header.comments):
        say_antialiased(path)
    if "chunk" in elements:
        tables = {name: read_rows(path, elements[name]) for name in GAUSSIAN_TABLES if name in elements}
        return finite_gaussians(path, unpack_fields(path, tables))
    rows = read_rows(path, elements["vertex"])
    _require_gaussians(path, elements)
    return finite_gaussians(path, plain_fields(path, rows, activated))


def say_antialiased(path: Path) -> None:
    """One line for a file that says that its opacities belong to the filter of Mip-Splatting."""
    say(f"{path}: was trained with anti-aliased opacities; here small Gaussians will look too opaque")


def visible_rows(gaussians: Gaussians) -> dict[str, np.ndarray]:
    """float32 arrays of the Gaussians with any opacity, by field, quaternions normalised."""
    if gaussians.colors.shape[1] not in COEFFICIENTS:
        raise InputError("spherical harmonics", f"{gaussians.colors.shape[1]} per colour", "1, 4, 9 or 16")
    keep = torch.sigmoid(gaussians.opacity_logits) > 0
    rows = {name: getattr(gaussians, name).detach()[keep].cpu().float() for name in GAUSSIAN_FIELDS}
    rows["quats"] = F.normalize(rows["quats"], dim=-1)
    return {name: tensor.numpy() for name, tensor in rows.items()}


def _require_gaussians(path: Path, elements: dict[str, PlyElement]) -> None:
    """InputError for what has none of a Gaussian's own columns. If it has some, the absent one is named later."""
    if {"opacity", "scale_0", "rot_0"} & set(elements["vertex"].dtype.names or ()):
        return
    faces = elements["face"].count if "face" in elements else 0
    found = f"a mesh of {faces} faces" if faces else f"a cloud of {elements['vertex'].count} points"
    raise InputError(path, f"{found}, without opacity, scale_0 and rot_0", EXPECTED)


def _plain_bytes(rows: dict[str, np.ndarray]) -> bytes:
    rest = rearrange(rows["colors"][:, 1:], "n k c -> n (c k)")
    zeros = np.zeros_like(rows["means"])
    parts = [rows["means"], zeros, rows["colors"][:, 0], rest, rows["opacity_logits"][:, None], rows["log_scales"]]
    table = np.concatenate([*parts, rows["quats"]], axis=1).astype("<f4")
    names = ["x", "y", "z", "nx", "ny", "nz", *numbered("f_dc_", 3), *numbered("f_rest_", rest.shape[1]), "opacity"]
    names += [*numbered("scale_", 3), *numbered("rot_", 4)]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(table)}"]
    header += [*(f"property float {name}" for name in names), "end_header", ""]
    return "\n".join(header).encode() + table.tobytes()
