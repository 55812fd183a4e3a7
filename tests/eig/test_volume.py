from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from reference.eig_scene import make_camera, make_scene, make_views
from safetensors.torch import load_file

from faithfusion.eig.calibrate import fit_calibration
from faithfusion.eig.config import EigConfig
from faithfusion.eig.field import EigField
from faithfusion.eig.field_file import save_eig_volume
from faithfusion.eig.pixel_gain import eig_map
from faithfusion.eig.posterior import fit_posterior
from faithfusion.utils.errors import InputError

CONFIG = EigConfig(pixels_per_observation=1.0)


def test_a_volume_holds_the_maps_of_its_frames(tmp_path: Path) -> None:
    scene, cameras = make_scene(), [make_camera(0.3), make_camera(0.6)]
    field = EigField.fit(scene, make_views(2), CONFIG)
    calibration = fit_calibration(None, CONFIG)
    volume, renders, depths = field.volume(cameras, [0, 1], [0.3, 0.6])
    gain, rendering = eig_map(scene, fit_posterior(scene, make_views(2), CONFIG), cameras[1], 1)
    assert torch.equal(volume.eig_nats[1], gain.eig_nats)
    assert torch.equal(volume.expected_sq_error[1], calibration.expected_sq_error(gain.eig_nats, 0.6))
    assert torch.equal(renders[1], rendering.color.clamp(0, 1))
    assert torch.equal(depths[1], rendering.depth)
    assert (volume.alpha[0] - volume.alpha[1]).abs().max() > 0.1  # the node is absent at time stamp 1
    save_eig_volume(tmp_path / "eig.safetensors", volume, calibration)
    stored = load_file(tmp_path / "eig.safetensors")
    assert stored["eig_nats"].dtype == torch.float16
    torch.testing.assert_close(stored["eig_nats"].float(), volume.eig_nats, rtol=1e-3, atol=1e-6)


def test_a_volume_refuses_what_does_not_fit() -> None:
    field = EigField.fit(make_scene(), make_views(1), CONFIG)
    with pytest.raises(InputError, match="as many cameras"):
        field.volume([make_camera()], [0, 1], [0.0, 0.0])
    with pytest.raises(InputError, match="of one size"):
        field.volume([make_camera(), make_camera(width=32)], [0, 1], [0.0, 0.0])
    with pytest.raises(InputError, match="noise_std"):
        louder = dataclasses.replace(CONFIG, noise_std=0.1)
        EigField.fit(field.scene, make_views(1), louder, calibration=field.calibration)
