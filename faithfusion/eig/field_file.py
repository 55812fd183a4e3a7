"""What is known about a scene as one safetensors file, and EIG volumes as another."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from faithfusion.eig.calibrate import Calibration, calibration_from_plain
from faithfusion.eig.config import EigConfig
from faithfusion.eig.posterior import Posterior, prior_posterior
from faithfusion.scene.scene_file import (
    load_tensors,
    node_names,
    save_tensors,
    scene_from_tensors,
    scene_tensors,
    scene_to,
)
from faithfusion.types import EigVolume, GaussianScene
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import to_plain

FORMAT = "faithfusion-eig-field-1"
PREFIX = "posterior."


def save_knowledge(path: Path, scene: GaussianScene, posterior: Posterior, calibration: Calibration) -> None:
    """Writes tensors of scene and posterior; configuration, calibration and names are JSON in the file's header."""
    tensors = scene_tensors(scene) | {PREFIX + name: tensor for name, tensor in _posterior_tensors(posterior).items()}
    header = {"format": FORMAT, "config": to_plain(posterior.config), "calibration": calibration.to_plain()}
    save_tensors(path, tensors, header | node_names(scene))


def load_knowledge(path: Path, device: torch.device | str) -> tuple[GaussianScene, Posterior, Calibration]:
    """Inverse of `save_knowledge`, on `device`.

    Raises InputError if the file is missing, damaged or something else: every tensor is there, finite, of the scene's
    size, and none besides.
    """
    tensors, header = load_tensors(path)
    if header.get("format") != FORMAT:
        raise InputError(path, f"format {header.get('format')!r}", f"an EIG field written as {FORMAT!r}")
    scene = scene_from_tensors(path, tensors, header)
    config = _config(path, header.get("config"))
    calibration = calibration_from_plain(header.get("calibration", {}))
    stored = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items() if name.startswith(PREFIX)}
    expected = _posterior_tensors(prior_posterior(scene, config))
    unknown = set(tensors) - set(scene_tensors(scene)) - {PREFIX + name for name in expected}
    if unknown or stored.keys() != expected.keys():
        raise InputError(path, f"tensors {', '.join(sorted(tensors))}", "those of a scene and its posterior")
    for name, like in expected.items():
        free = 1 if name == "viewpoints" else 0  # as many as there were views
        if stored[name].dtype != like.dtype or stored[name].shape[free:] != like.shape[free:]:
            raise InputError(path, f"{name} of shape {tuple(stored[name].shape)}", f"{tuple(like.shape)} of its scene")
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise InputError(path, f"{name} is not finite", "a whole EIG field")
    posterior = Posterior(config, **{name: tensor.to(device) for name, tensor in stored.items()})
    return scene_to(scene, device), posterior, calibration


def save_eig_volume(path: Path, volume: EigVolume, calibration: Calibration) -> None:
    """Writes `eig_nats`, `expected_sq_error` and `alpha` as float16 [T, H, W] with the calibration as header."""
    tensors = {name: value.half() for name, value in vars(volume).items()}
    save_tensors(path, tensors, {"format": "faithfusion eig volume", "calibration": calibration.to_plain()})


def _posterior_tensors(posterior: Posterior) -> dict[str, Tensor]:
    return {name: value for name, value in vars(posterior).items() if name != "config"}


def _config(path: Path, plain: Any) -> EigConfig:
    names = {field.name for field in dataclasses.fields(EigConfig)}
    if not isinstance(plain, dict) or plain.keys() != names:
        raise InputError(path, f"configuration {plain}", f"values of {', '.join(sorted(names))}")
    try:
        return EigConfig(**plain)
    except TypeError as error:
        raise InputError(path, f"configuration {plain} ({error})", "numbers and the kind of posterior") from None
