"""EIG of a whole clip, with the renders it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.eig.calibrate import Calibration
from faithfusion.eig.config import EigConfig
from faithfusion.eig.pixel_gain import eig_map
from faithfusion.eig.posterior import Posterior
from faithfusion.eig.variance_polynomials import posterior_roots
from faithfusion.scene.scene_file import save_tensors
from faithfusion.types import Camera, EigVolume, GaussianScene
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import track


def eig_volume(
    scene: GaussianScene,
    posterior: Posterior,
    calibration: Calibration,
    cameras: Sequence[Camera],
    time_indices: Sequence[int],
    distances_m: Sequence[float],
    config: EigConfig,
) -> tuple[EigVolume, Float[Tensor, "t h w 3"], Float[Tensor, "t h w"]]:
    """EIG volume, renders in [0, 1] and depths (metres, 0 = nothing) of a trajectory, all on the CPU.

    `distances_m`: of each camera from the recorded path. Raises InputError if cameras, time stamps and distances do not
    pair up, if the cameras differ in size, or if the calibration was made for another noise level.
    """
    sizes = {(camera.height, camera.width) for camera in cameras}
    if not len(cameras) == len(time_indices) == len(distances_m) or len(sizes) != 1:
        found = f"{len(cameras)} cameras of sizes {sorted(sizes)}, {len(time_indices)} time stamps"
        raise InputError("EIG volume", found, "as many cameras as time stamps and distances, of one size")
    for name in ("noise_std", "pixels_per_observation"):
        if abs(getattr(calibration, name) / getattr(config, name) - 1.0) > 1e-6:
            raise InputError(f"eig.{name}", getattr(config, name), f"the calibration's {getattr(calibration, name)}")
    roots = posterior_roots(scene, posterior, config)
    frames = []
    trajectory = list(zip(cameras, time_indices, distances_m, strict=True))
    for camera, time_index, distance_m in track(trajectory, "EIG volume"):
        gain, rendering = eig_map(scene, posterior, camera, time_index, config, roots=roots)
        expected = calibration.expected_sq_error(gain.eig_nats, distance_m)
        images = (gain.eig_nats, expected, gain.alpha, rendering.color.clamp(0.0, 1.0), rendering.depth)
        frames.append(tuple(image.cpu() for image in images))
    eig, expected, alpha, color, depth = (torch.stack(images) for images in zip(*frames, strict=True))
    return EigVolume(eig_nats=eig, expected_sq_error=expected, alpha=alpha), color, depth


def save_eig_volume(path: Path, volume: EigVolume, calibration: Calibration) -> None:
    """Writes `eig_nats`, `expected_sq_error` and `alpha` as float16 [T, H, W] with the calibration as header."""
    tensors = {name: value.half() for name, value in vars(volume).items()}
    save_tensors(path, tensors, {"format": "faithfusion eig volume", "calibration": calibration.to_plain()})
