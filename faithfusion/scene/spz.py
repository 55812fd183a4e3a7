"""SPZ files (Niantic): gzip or zstd containers of quantised Gaussians, read and written by gsply.

SPZ stores axes right, up, back; PLY files of the same scene have right, down, front. gsply moves bytes only, so the
half turn about x between the two is made here, harmonics included. Some converters leave PLY axes in the file and
nothing in it says so: `axes="rdf"` takes it as it is.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from gsply import read_spz, write_spz

from faithfusion.scene.gsply_rows import from_gsply, to_gsply, torch_threads_kept
from faithfusion.scene.move_gaussians import move_gaussians
from faithfusion.scene.ply import say_antialiased, visible_rows
from faithfusion.scene.whole_rows import finite_gaussians
from faithfusion.types import Gaussians
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say
from faithfusion.utils.similarity import Similarity

Axes = Literal["rub", "rdf"]
HALF_TURN_ABOUT_X = Similarity(np.diag([1.0, -1.0, -1.0]), np.zeros(3))
EXPECTED = "a whole SPZ file, version 1 to 4, harmonics up to degree 3"
MAGIC = 0x5053474E
MAX_FRACTIONAL_BITS = 12  # 1/4096 of a unit, as the reference implementation writes
POSITION_LIMIT = float((1 << 23) - 1)
LOG_SCALE_RANGE = (-10.0, 255.0 / 16.0 - 10.0)
FLAG_ANTIALIASED, FLAG_EXTENSIONS = 1, 2


def import_spz(path: Path, *, axes: Axes = "rub") -> Gaussians:
    """Gaussians in PLY axes. InputError if the file is missing, damaged or no SPZ."""
    _check_header(path)
    try:
        with torch_threads_kept():
            rows = from_gsply(read_spz(path))
    except Exception as error:  # of several decompressors, all meaning the same
        raise InputError(path, str(error).removesuffix(f": {path}"), EXPECTED) from None
    gaussians = finite_gaussians(path, rows)
    return move_gaussians(gaussians, HALF_TURN_ABOUT_X) if axes == "rub" else gaussians


def export_spz(path: Path, gaussians: Gaussians) -> None:
    """Writes version 3 (gzip), which every reader knows. Gaussians with an opacity of 0 are left out.

    Quantised: positions to 1/4096 (coarser if the scene reaches beyond 2048 units), log scales to 1/16, opacities to
    1/255, constant colours to 1/136, harmonics to 1/128 within [-1, 1]. What lies outside is clipped, with a line.
    """
    rows = visible_rows(move_gaussians(gaussians, HALF_TURN_ABOUT_X))
    clipped = (np.abs(rows["colors"][:, 1:]) > 1.0).any((1, 2))
    clipped |= ((rows["log_scales"] < LOG_SCALE_RANGE[0]) | (rows["log_scales"] > LOG_SCALE_RANGE[1])).any(1)
    if clipped.any():
        say(f"{path}: {int(clipped.sum())} of {len(clipped)} Gaussians exceed what SPZ can store and are clipped")
    reach = float(np.abs(rows["means"]).max(initial=1.0))
    bits = max(1, min(MAX_FRACTIONAL_BITS, math.floor(math.log2(POSITION_LIMIT / reach))))
    with atomic_file(path) as temporary, torch_threads_kept():
        write_spz(temporary, to_gsply(rows), version=3, fractional_bits=bits)


def _check_header(path: Path) -> None:
    """Says what of the file is not understood. InputError if it is not there or starts with something else."""
    if not path.is_file():
        raise InputError(path, "no such file", EXPECTED)
    with path.open("rb") as file:
        head = file.read(32)
    if head[:2] == b"\x1f\x8b":
        try:
            with gzip.open(path) as file:
                head = file.read(16)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(path, f"damaged ({error})", EXPECTED) from None
    if len(head) < 16 or struct.unpack("<I", head[:4])[0] != MAGIC:
        raise InputError(path, f"starts with {head[:4]!r}", EXPECTED)
    flags = head[14]
    if flags & FLAG_EXTENSIONS:
        say(f"{path}: extensions are not read; if one of them says other axes, pass those with --spz_axes")
    if flags & FLAG_ANTIALIASED:
        say_antialiased(path)
