from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0
from einops import rearrange
from tiny_fixer import pictures, warped_window
from tiny_generator import tiny_cameras
from tiny_sd_turbo import LORA, tiny_sd_turbo, with_references, write_sd_turbo
from torch.nn import functional as F

from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.editing.editor_config import FixerEditorConfig
from faithfusion.video.fixer.fixer_editor import FixerEditor
from faithfusion.video.fixer.sd_turbo import StackedAttention
from faithfusion.video.model.conditioning import noise_level
from faithfusion.video.model.fixers.fixer import FixerInputs, fixer_inputs, nearest_per_frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sd_turbo(tmp_path_factory.mktemp("sd_turbo"))


def inputs(references: int = 0, frames: int = 2, **changes: torch.Tensor) -> FixerInputs:
    found = fixer_inputs(with_references(warped_window(frames, 32, 32)), references)
    return dataclasses.replace(found, **changes)


@torch.no_grad()
def by_diffusers(folder: Path, render: torch.Tensor, timestep: int) -> torch.Tensor:
    """One step of the public model from the render's latent, with diffusers' own parts and nothing of ours."""
    unet = UNet2DConditionModel.from_pretrained(folder / "unet").eval()
    vae = AutoencoderKL.from_pretrained(folder / "vae").eval()
    alphas = EulerDiscreteScheduler.from_pretrained(folder / "scheduler").alphas_cumprod
    latent = vae.encode(2 * render - 1).latent_dist.mode() * vae.config.scaling_factor
    prompt = tiny_sd_turbo(folder).prompt.expand(len(render), -1, -1)
    noise = unet(latent, timestep, encoder_hidden_states=prompt).sample
    clean = (latent - (1 - alphas[timestep]).sqrt() * noise) / alphas[timestep].sqrt()
    return vae.decode(clean / vae.config.scaling_factor).sample / 2 + 0.5


@pytest.mark.parametrize("changes", [{}, {"timestep": 400}, LORA])
@torch.no_grad()
def test_at_step_0_it_is_the_public_model(folder: Path, changes: dict[str, object]) -> None:
    data = inputs()
    expected = by_diffusers(folder, data.render, int(changes.get("timestep", 199)))
    torch.testing.assert_close(tiny_sd_turbo(folder, **changes)(data), expected, atol=1e-5, rtol=0)
    assert (expected - data.render).abs().mean() > 0.05  # the tiny random model is no identity


@torch.no_grad()
def test_added_channels_are_phi_trust_and_views_by_hand(folder: Path) -> None:
    fixer, data = tiny_sd_turbo(folder, num_references=1), inputs(1)
    latents, added = fixer._latents(data)
    assert latents.shape == (2, 2, 4, 16, 16) and added.shape == (2, 2, 2 + 2 * 5, 16, 16)
    assert not added[:, 1].any()  # of the references
    torch.testing.assert_close(latents[:, 1], fixer.encode(data.references[:, 0]))
    phi = noise_level(data.expected_sq_error, fixer.config.conditioning)
    views = torch.where(data.trust[:, :, None] > 0, data.views, data.render[:, None])
    warped = [fixer.encode(views[:, n]) for n in range(2)]
    for y, x in ((0, 0), (3, 12), (15, 15)):
        cell = (slice(2 * y, 2 * y + 2), slice(2 * x, 2 * x + 2))
        torch.testing.assert_close(added[:, 0, 0, y, x], phi[:, *cell].mean((1, 2)))
        torch.testing.assert_close(added[:, 0, 1, y, x], phi[:, *cell].amax((1, 2)))
        torch.testing.assert_close(added[:, 0, 2:4, y, x], data.trust[:, :, *cell].mean((2, 3)))
        for n in range(2):
            torch.testing.assert_close(added[:, 0, 4 + 4 * n : 8 + 4 * n, y, x], warped[n][:, :, y, x])


@torch.no_grad()
def test_every_condition_matters_once_it_is_trained_and_untrusted_colours_do_not(folder: Path) -> None:
    fixer, data = tiny_sd_turbo(folder, trained=True), inputs()
    result = fixer(data)
    assert not torch.allclose(tiny_sd_turbo(folder)(data), result)
    hidden = data.views.clone()
    hidden[:, 0, :, :16] = 7.0  # where the first view is not trusted
    assert torch.equal(fixer(dataclasses.replace(data, views=hidden)), result)
    for name, value in (
        ("views", data.views.flip(-1)),
        ("trust", 0.5 * data.trust),
        ("expected_sq_error", 2.0 * data.expected_sq_error),
    ):
        assert not torch.allclose(fixer(dataclasses.replace(data, **{name: value})), result), name


@torch.no_grad()
def test_references_are_read_and_only_through_self_attention(folder: Path) -> None:
    data = inputs(2)
    fixer = tiny_sd_turbo(folder, num_references=2)
    one, two = fixer(data), fixer(dataclasses.replace(data, references=data.references.flip(-1)))
    none = tiny_sd_turbo(folder)(data)
    assert min((one - two).abs().max(), (one - none).abs().max()) > 1e-3

    class Apart(StackedAttention):
        def __call__(self, *args: object, views: int = 1, **options: object) -> torch.Tensor:
            return super().__call__(*args, **options)

    fixer.network.set_attn_processor(Apart())
    torch.testing.assert_close(fixer(data), none, atol=1e-5, rtol=0)


@torch.no_grad()
def test_stacked_attention_is_attention_over_all_tokens_and_leaves_the_prompt_alone(folder: Path) -> None:
    attention = tiny_sd_turbo(folder).network.mid_block.attentions[0].transformer_blocks[0].attn1
    values = torch.randn(6, 5, 16)  # two samples of three images
    found = StackedAttention()(attention, values, views=3)
    for sample in range(2):
        tokens = torch.cat([values[3 * sample + i] for i in range(3)])
        q, k, v = (layer(tokens).view(15, -1, 8) for layer in (attention.to_q, attention.to_k, attention.to_v))
        heads = [F.softmax(q[:, h] @ k[:, h].T / 8**0.5, -1) @ v[:, h] for h in range(q.shape[1])]
        expected = attention.to_out[0](torch.cat(heads, dim=1))
        torch.testing.assert_close(found[3 * sample : 3 * sample + 3], rearrange(expected, "(v l) d -> v l d", v=3))
    cross = tiny_sd_turbo(folder).network.mid_block.attentions[0].transformer_blocks[0].attn2
    prompt = torch.randn(6, 7, 8)
    assert torch.equal(StackedAttention()(cross, values, prompt, views=3), AttnProcessor2_0()(cross, values, prompt))


@torch.no_grad()
def test_any_size_and_batch_gives_every_frame_its_own_result(folder: Path) -> None:
    fixer = tiny_sd_turbo(folder, num_references=1, trained=True)
    data = fixer_inputs(with_references(warped_window(2, 30, 37)), 1)
    result = fixer(data)
    assert result.shape == (2, 3, 30, 37)
    second = {name: values[1:] for name, values in pictures(data).items()}
    torch.testing.assert_close(fixer(FixerInputs(**second)), result[1:], atol=1e-5, rtol=0)


def test_each_frame_gets_the_nearest_references_that_look_the_same_way() -> None:
    window, cameras = with_references(warped_window(3, 32, 32), 3), tiny_cameras(3, 32, 32)
    frames, recorded = torch.eye(4).repeat(3, 1, 1), torch.eye(4).repeat(3, 1, 1)
    frames[:, 0, 3] = torch.tensor([0.0, 4.0, 8.0])
    recorded[:, 0, 3] = torch.tensor([7.0, 0.5, 0.0])
    recorded[2, :3, :3] = torch.diag(torch.tensor([-1.0, 1.0, -1.0]))  # at the first frame's place, but looks back
    own, others = (
        tuple(dataclasses.replace(camera, world_from_camera=pose) for camera, pose in zip(cameras, poses, strict=True))
        for poses in (frames, recorded)
    )
    placed = dataclasses.replace(window, cameras=own, reference_cameras=others)
    assert nearest_per_frame(placed, 3).tolist() == [[1, 0, 2], [0, 1, 2], [0, 1, 2]]
    found, as_given = fixer_inputs(placed, 2).references, fixer_inputs(window, 3).references
    assert found.shape == (3, 2, 3, 32, 32) and torch.equal(found[0, 0], as_given[0, 1])
    assert nearest_per_frame(window, 2).tolist() == [[0, 1]] * 3
    assert fixer_inputs(window).references.shape == (3, 0, 3, 32, 32)


def test_the_editor_uses_it_as_any_fixer(folder: Path) -> None:
    window = with_references(warped_window(3, 32, 32))
    window.known[1] = True
    fixer = tiny_sd_turbo(folder, num_references=1)
    clip = FixerEditor(fixer, FixerEditorConfig(frames_at_once=2), ErrorProfile()).edit(window)
    assert torch.equal(clip.frames[1], window.render[1])
    with torch.no_grad():
        expected = fixer(fixer_inputs(window, 1)).clamp(0, 1).permute(0, 2, 3, 1)
    torch.testing.assert_close(clip.edit[[0, 2]], expected[[0, 2]], atol=1e-5, rtol=0)
