"""Gaussians of DriveStudio's models (github.com/ziyc/drivestudio): names, shapes and activations of their tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from faithfusion.types import Gaussians
from faithfusion.utils.errors import InputError
from faithfusion.utils.harmonics import SH_0

FLAT_LOG_SCALE = -14.0
"""Log scale of the third axis of DriveStudio's flat Gaussians, which stands for 0: under a micrometre."""
OTHER_KINDS = {"_taus": "PeriodicVibrationGaussians", "_offset": "ScaffoldGaussians"}


@dataclass(frozen=True)
class NodeModel:
    """A class of tracked objects: Gaussians in box coordinates, and the boxes' poses in the model's world."""

    gaussians: Gaussians
    instance_of: Int[Tensor, " n"]
    size_m: Float[Tensor, "i 3"]  # length, width, height
    present: Bool[Tensor, "t i"]
    quats: Float[Tensor, "t i 4"]  # wxyz
    centres: Float[Tensor, "t i 3"]


class Keys:
    """One model's state, asked for by key; a missing key or a wrong shape is an InputError that names it."""

    def __init__(self, path: Path, name: str, state: Any) -> None:
        if not isinstance(state, Mapping):
            raise InputError(path, f"models.{name} is a {type(state).__name__}", "a dictionary of tensors")
        self._path, self._name, self._state = path, name, state

    def __contains__(self, key: str) -> bool:
        return key in self._state

    def get(self, key: str, *shape: int | None) -> Tensor:
        """The tensor in float32 (integers and booleans as they are); None in `shape` fits any size."""
        where = f"models.{self._name}.{key}"
        if key not in self._state:
            raise InputError(self._path, f"no key {where}", "a checkpoint of DriveStudio")
        tensor = self._state[key]
        fits = isinstance(tensor, Tensor) and (not shape or tensor.dim() == len(shape))
        if not fits or any(n is not None and n != m for n, m in zip(shape, tensor.shape, strict=False)):
            found = f"{where} of shape {tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__}"
            raise InputError(self._path, found, f"{tuple('any' if n is None else n for n in shape)}")
        return tensor.float() if tensor.is_floating_point() else tensor


def read_gaussians(path: Path, name: str, state: Any) -> Gaussians:
    """Gaussians of a VanillaGaussians state. InputError for a missing key, a wrong shape and another kind of model."""
    keys = Keys(path, name, state)
    other = [kind for key, kind in OTHER_KINDS.items() if key in keys]
    if name == "Background" and any(key.startswith("deform_network") for key in state):
        other = ["DeformableGaussians"]
    if other:
        raise InputError(path, f"models.{name} holds {other[0]}", "VanillaGaussians, which stay as they are over time")
    means = keys.get("_means", None, 3)
    num = means.shape[0]
    constant, rest = keys.get("_features_dc", num, 3), keys.get("_features_rest", num, None, 3)
    if rest.shape[1] == 0:  # degree 0: colours are a sigmoid, not harmonics
        constant = (torch.sigmoid(constant) - 0.5) / SH_0
    return Gaussians(
        means=means,
        quats=keys.get("_quats", num, 4),
        log_scales=_three_scales(keys.get("_scales", num, None)),
        opacity_logits=keys.get("_opacities", num, 1)[:, 0],
        colors=torch.cat([constant[:, None], rest], dim=1),
    )


def read_nodes(path: Path, name: str, state: Any) -> NodeModel:
    """Gaussians and boxes of a RigidNodes or DeformableNodes state. InputError as `read_gaussians`."""
    gaussians, keys = read_gaussians(path, name, state), Keys(path, name, state)
    present = keys.get("instances_fv", None, None).bool()
    frames, instances = present.shape
    instance_of = keys.get("points_ids", gaussians.num, 1)[:, 0].long()
    if gaussians.num and not 0 <= int(instance_of.min()) <= int(instance_of.max()) < instances:
        found = f"models.{name}.points_ids from {int(instance_of.min())} to {int(instance_of.max())}"
        raise InputError(path, found, f"0 to {instances - 1}, as models.{name}.instances_fv")
    return NodeModel(
        gaussians=gaussians,
        instance_of=instance_of,
        size_m=keys.get("instances_size", instances, 3),
        present=present,
        quats=torch.nn.functional.normalize(keys.get("instances_quats", frames, instances, 4), dim=-1),
        centres=keys.get("instances_trans", frames, instances, 3),
    )


def with_harmonics(gaussians: Gaussians, num: int) -> Float[Tensor, "n k 3"]:
    """Colours padded with zeros to `num` coefficients."""
    missing = num - gaussians.colors.shape[1]
    return torch.nn.functional.pad(gaussians.colors, (0, 0, 0, missing))


def _three_scales(log_scales: Float[Tensor, "n s"]) -> Float[Tensor, "n 3"]:
    """Three log scales from those stored: balls have one, flat Gaussians two."""
    if log_scales.shape[1] == 1:
        return log_scales.repeat(1, 3)
    if log_scales.shape[1] == 2:
        return torch.nn.functional.pad(log_scales, (0, 1), value=FLAT_LOG_SCALE)
    return log_scales
