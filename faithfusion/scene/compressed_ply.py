"""Compressed PLY files of PlayCanvas and SuperSplat: 16 bytes a Gaussian, and bytes of harmonics.

Table `chunk`: bounds of positions, log scales and colours of 256 Gaussians. Table `vertex`: 4 words of 32 bits, values
between those bounds (11-10-11 bits, colours and opacity 8 bits each), quaternion as its three smaller components.
Table `sh`: one byte per coefficient.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from gsply import compress_to_bytes

from faithfusion.scene.gsply_rows import to_gsply, torch_threads_kept
from faithfusion.scene.ply_header import columns, harmonic_columns
from faithfusion.utils.errors import InputError
from faithfusion.utils.harmonics import SH_0

CHUNK_SIZE = 256
LAST_LEVEL = 0.25 / 255.0
"""Opacities stored as bytes: 0 and 255 stand for a quarter of a level inside, so that their logits are finite."""


def pack_fields(rows: dict[str, np.ndarray]) -> bytes:
    """The file's content, Gaussians in spatial order."""
    order = spatial_order(rows["means"])
    with torch_threads_kept():
        return compress_to_bytes(to_gsply({name: values[order] for name, values in rows.items()}))


def byte_logits(levels: np.ndarray) -> np.ndarray:
    """Opacity logits of opacities stored in 0..255."""
    opacity = np.clip(levels.astype(np.float64) / 255.0, LAST_LEVEL, 1.0 - LAST_LEVEL)
    return np.log(opacity / (1.0 - opacity)).astype(np.float32)


def unpack_fields(path: Path, tables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Fields of a compressed PLY. Chunks of early files have no bounds of colour: those are 0 and 1."""
    words = {name: tables["vertex"][name] for name in tables["vertex"].dtype.names if name.startswith("packed_")}
    needed = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
    absent = [name for name in needed if name not in words]
    count, chunks = len(tables["vertex"]), tables["chunk"]
    if absent or len(chunks) != -(-count // CHUNK_SIZE):
        found = f"no property {absent[0]}" if absent else f"{len(chunks)} chunks for {count} Gaussians"
        raise InputError(path, found, "a compressed PLY with one chunk per 256 Gaussians")
    chunk_of = np.arange(count) // CHUNK_SIZE

    def spread(unit: np.ndarray, suffixes: list[str]) -> np.ndarray:
        low, high = (columns(path, chunks, [f"{end}_{s}" for s in suffixes])[chunk_of] for end in ("min", "max"))
        return low + unit * (high - low)

    color = _bits(words["packed_color"], (8, 8, 8, 8))
    rgb = spread(color[:, :3], ["r", "g", "b"]) if "min_r" in chunks.dtype.names else color[:, :3]
    constant = ((rgb - 0.5) / SH_0).astype(np.float32)[:, None]
    rest = np.zeros((count, 0, 3), np.float32)
    if "sh" in tables and tables["sh"].dtype.names:
        rest = (harmonic_columns(path, tables["sh"]) - 127.5) / 32.0  # 8-bit levels over [-4, 4]; their middles
    return {
        "means": spread(_bits(words["packed_position"], (11, 10, 11)), ["x", "y", "z"]),
        "quats": _unpack_quats(words["packed_rotation"]),
        "log_scales": spread(_bits(words["packed_scale"], (11, 10, 11)), ["scale_x", "scale_y", "scale_z"]),
        "opacity_logits": byte_logits(words["packed_color"] & 0xFF),
        "colors": np.concatenate([constant, rest.astype(np.float32)], axis=1),
    }


def _bits(words: np.ndarray, widths: tuple[int, ...]) -> np.ndarray:
    """Unsigned fields of a 32-bit word, highest first, as float32 in [0, 1]."""
    shift, fields = 32, []
    for width in widths:
        shift -= width
        fields.append(((words >> shift) & ((1 << width) - 1)) / np.float32((1 << width) - 1))
    return np.stack(fields, axis=1).astype(np.float32)


def _unpack_quats(words: np.ndarray) -> np.ndarray:
    """wxyz from the place of the largest component (2 bits) and the other three in order (10 bits each)."""
    small = (_bits(words & 0x3FFFFFFF, (2, 10, 10, 10))[:, 1:] - 0.5) * np.float32(math.sqrt(2.0))
    largest = (words >> 30).astype(np.int64)
    places = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])[largest]
    quats = np.zeros((len(words), 4), np.float32)
    np.put_along_axis(quats, places, small, axis=1)
    rest = np.sqrt(np.clip(1.0 - (small**2).sum(1), 0.0, None))
    np.put_along_axis(quats, largest[:, None], rest[:, None].astype(np.float32), axis=1)
    return quats


def spatial_order(means: np.ndarray, bits: int = 16) -> np.ndarray:
    """Order along a Morton curve, so that a chunk's bounds are tight. Space is contracted about the median: a few far
    Gaussians must not make the cells of the near ones coarse."""
    centred = means.astype(np.float64) - np.median(means, axis=0)
    contracted = centred / (np.abs(centred) + np.median(np.abs(centred), axis=0) + 1e-9)  # in (-1, 1)
    cells = ((0.5 + 0.5 * contracted) * ((1 << bits) - 1)).astype(np.int64)
    code = np.zeros(len(means), np.int64)
    for bit in range(bits):
        for axis in range(3):
            code |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return np.argsort(code, kind="stable")
