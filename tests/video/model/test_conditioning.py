from __future__ import annotations

import dataclasses

import pytest
import torch
from reference.flow import chunk_of, eig_block_loops, phi_scalar

from faithfusion.types import EigVolume
from faithfusion.video.model.conditioning import noise_level, pool_eig, rms_error
from faithfusion.video.model.config import ConditioningConfig
from faithfusion.video.model.spec import BackboneSpec

CONFIG, WAN21 = ConditioningConfig(), BackboneSpec()


def volume(sq_error: torch.Tensor) -> EigVolume:
    return EigVolume(eig_nats=sq_error, expected_sq_error=sq_error, alpha=torch.rand_like(sq_error))


def unknown(frames: int) -> torch.Tensor:
    return torch.zeros(frames, dtype=torch.bool)


def test_pooling_equals_loops_over_cells_and_pixels() -> None:
    eig = volume(0.05 * torch.rand(9, 16, 32).square())
    block, _ = pool_eig(eig, unknown(9), CONFIG, WAN21)
    twin = eig_block_loops(eig.expected_sq_error, eig.alpha, CONFIG.noise_over_error, CONFIG.marked_rms)
    assert block.shape == (WAN21.eig_channels, 3, 2, 4)
    torch.testing.assert_close(block, twin, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("frame", range(49))
def test_a_spike_in_any_single_frame_survives(frame: int) -> None:
    sq_error = torch.full((49, 32, 32), 1e-6)
    sq_error[frame, 16:32, :16] = 0.25
    block, phi = pool_eig(volume(sq_error), unknown(49), CONFIG, WAN21)
    chunk, spike = chunk_of(frame), phi_scalar(0.25, CONFIG.noise_over_error)
    assert block[:64, chunk, 2:4, :2].min() == pytest.approx(spike, abs=1e-5)
    assert block[66, chunk, 2, 0] == pytest.approx(1.0 if frame == 0 else 0.25)
    assert phi[chunk, 1, 0] == pytest.approx(spike, abs=1e-5)
    calm = torch.ones_like(phi, dtype=torch.bool)
    calm[chunk, 1, 0] = False
    assert phi[calm].max() < 0.02


def test_a_single_pixel_spike_reaches_the_unshuffled_channels() -> None:
    sq_error = torch.zeros(5, 16, 16)
    sq_error[3, 9, 5] = 1.0
    block, phi = pool_eig(volume(sq_error), unknown(5), CONFIG, WAN21)
    assert block[8 * 1 + 5, 1, 1, 0] == block[65, 1, 1, 0] > 0.9
    assert (block[:64] > 0).sum() == 1
    assert (phi == 0).all()
    _, phi = pool_eig(volume(sq_error), unknown(5), dataclasses.replace(CONFIG, token_quantile=1.0), WAN21)
    assert phi[1, 0, 0] > 0.9


def test_noise_level_rises_with_error_and_inverts() -> None:
    sq_error = torch.logspace(-8, 0, 50)
    phi = noise_level(sq_error, CONFIG)
    assert (phi.diff() > 0).all() and phi.max() < 1 and noise_level(torch.zeros(1), CONFIG) == 0
    torch.testing.assert_close(phi, torch.tensor([phi_scalar(v, 5.0) for v in sq_error.tolist()]))
    torch.testing.assert_close(rms_error(phi, CONFIG), 2.0 * sq_error.sqrt(), rtol=1e-3, atol=1e-6)


def test_known_frames_have_no_noise_even_inside_a_chunk() -> None:
    known = torch.tensor([True] * 5 + [True, False, False, False])
    block, phi = pool_eig(volume(torch.full((9, 16, 16), 0.1)), known, CONFIG, WAN21)
    assert (phi[:2] == 0).all() and (block[:67, :2] == 0).all()
    assert (phi[2] > 0.5).all()
