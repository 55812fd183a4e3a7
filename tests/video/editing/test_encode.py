from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny_generator import tiny_cameras, tiny_generator, tiny_window

from faithfusion.types import EigVolume
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.encode import latent_conditions, to_frames, to_video
from faithfusion.video.model.conditioning import conditions_from_tensors, conditions_to_tensors
from faithfusion.video.model.reference_attention import pluecker_rays


def test_conditions_of_a_batch_are_those_of_its_windows() -> None:
    generator, windows = tiny_generator(), [tiny_window(seed=0), tiny_window(seed=1)]
    with torch.no_grad():
        batch = latent_conditions(generator, windows)
        single = latent_conditions(generator, windows[1:])
    assert batch.render_latent.shape == (2, 8, 2, 4, 6) and batch.phi.shape == (2, 2, 2, 3)
    for name in ("render_latent", "eig_block", "phi"):
        torch.testing.assert_close(getattr(batch, name)[1:], getattr(single, name))


def test_frames_and_video_are_inverse() -> None:
    frames = torch.rand(2, 5, 4, 6, 3)
    video = to_video(frames)
    assert video.shape == (2, 3, 5, 4, 6) and video.min() < -0.9
    torch.testing.assert_close(to_frames(video), frames)


@torch.no_grad()
def test_conditions_survive_as_plain_tensors() -> None:
    generator = tiny_generator(branch__init="vace", branch__references=True, branch__depth=True, branch__warped=2)
    conditions = latent_conditions(generator, [tiny_window(poses=True, warped=2)])
    tensors = conditions_to_tensors(conditions)
    assert {"vace", "inverse_depth", "references.latent", "references.rays", "references.token_rays", "warped"} < set(
        tensors
    )
    again = conditions_to_tensors(conditions_from_tensors(tensors))
    assert tensors.keys() == again.keys() and all(torch.equal(tensors[name], again[name]) for name in tensors)


@torch.no_grad()
def test_references_are_padded_and_rays_are_those_of_the_chunks_frames() -> None:
    generator = tiny_generator(branch__references=True)
    window = tiny_window(frames=9, poses=True)
    window = dataclasses.replace(
        window, references=torch.rand(2, 30, 41, 3), reference_cameras=tiny_cameras(2, 30, 41, step_m=3.0)
    )
    views = latent_conditions(generator, [window]).references
    assert views.latent.shape == (1, 2, 8, 4, 6) and views.rays.shape == (1, 2, 6, 2, 3)
    assert views.token_rays.shape == (1, 6, 3, 2, 3)
    rays = pluecker_rays(window.poses, window.poses.world_from_camera[0], 32, 48, 16)
    torch.testing.assert_close(views.token_rays[0, :, 0], rays[0])
    torch.testing.assert_close(views.token_rays[0, :, 2], rays[5:9].mean(0))


def test_depth_is_inverse_metres_and_nothing_where_nothing_was_rendered() -> None:
    generator, window = tiny_generator(branch__depth=True), tiny_window()
    window.depth[:, :8, :8] = 0.0
    with torch.no_grad():
        inverse = latent_conditions(generator, [window]).inverse_depth
    assert inverse.shape == (1, 1, 2, 4, 6)
    assert (inverse[..., 0, 0] == 0).all() and inverse[..., 1:, 1:] == pytest.approx(0.1)


def test_parts_of_different_length_and_missing_poses_are_refused() -> None:
    generator, window = tiny_generator(), tiny_window(frames=9)
    short = EigVolume(*(getattr(window.eig, field.name)[:5] for field in dataclasses.fields(EigVolume)))
    with pytest.raises(InputError, match=r"expected_sq_error .*\(5, 32, 48\).*\(9, 32, 48\)"):
        latent_conditions(generator, [dataclasses.replace(window, eig=short)])
    with pytest.raises(InputError, match="poses"):
        latent_conditions(tiny_generator(branch__references=True), [window])


@torch.no_grad()
def test_warped_views_are_latents_with_their_pooled_trust() -> None:
    generator, window = tiny_generator(branch__warped=2), tiny_window(warped=2)
    found = latent_conditions(generator, [window]).warped[0]
    assert found.shape == (20, 2, 4, 6)
    second = generator.codec.encode(to_video(window.warped.colors[1:]))[0]
    torch.testing.assert_close(found[10:18], second)
    cell = window.warped.trust[1, 1:5, 8:16, 16:24]  # chunk 1, row 1, column 2
    torch.testing.assert_close(found[18:, 1, 1, 2], torch.stack([cell.mean(), cell.min()]))
    first_frame = window.warped.trust[0, 0, :8, :8]
    torch.testing.assert_close(found[8:10, 0, 0, 0], torch.stack([first_frame.mean(), first_frame.min()]))


@pytest.mark.parametrize("warped", [0, 1])
def test_missing_warped_views_are_refused(warped: int) -> None:
    with pytest.raises(InputError, match="at least 2"):
        latent_conditions(tiny_generator(branch__warped=2), [tiny_window(warped=warped)])
