"""Converts Gaussians to and from gsply, the library behind compressed PLY and SPZ."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from gsply import GSData
from gsply.gsdata import create_ply_format


def to_gsply(rows: dict[str, np.ndarray]) -> GSData:
    """gsply's container, whose colours are split into the constant and the rest. Fields as in `Gaussians`, float32."""
    return GSData(
        means=rows["means"],
        scales=rows["log_scales"],
        quats=rows["quats"],
        opacities=rows["opacity_logits"],
        sh0=rows["colors"][:, 0],
        shN=rows["colors"][:, 1:],
        _format=create_ply_format(math.isqrt(rows["colors"].shape[1]) - 1),
    )


def from_gsply(data: GSData) -> dict[str, np.ndarray]:
    """Inverse of `to_gsply`."""
    rest = np.zeros((len(data.means), 0, 3)) if data.shN is None else data.shN.reshape(len(data.means), -1, 3)
    fields = {
        "means": data.means,
        "quats": data.quats,
        "log_scales": data.scales,
        "opacity_logits": data.opacities.reshape(-1),
        "colors": np.concatenate([data.sh0[:, None], rest], axis=1),
    }
    return {name: values.astype(np.float32) for name, values in fields.items()}


@contextmanager
def torch_threads_kept() -> Iterator[None]:
    """Sets the number of torch's threads back afterwards: numba, inside gsply, resets the OpenMP runtime they share."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
