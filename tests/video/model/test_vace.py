"""With `init: vace` and an adapter the branch is VACE: proved against diffusers' class on random weights."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from diffusers import WanVACETransformer3DModel
from tiny_generator import TINY, tiny_generator, tiny_window
from tiny_public_weights import upstream_vace

from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say
from faithfusion.video.editing.encode import latent_conditions, to_video
from faithfusion.video.model.conditioning import regenerate_mask
from faithfusion.video.model.generator import Generator

CHANNELS = TINY.codec.latent_channels
VACE = {"prior": "none", "branch__init": "vace", "branch__num_blocks": 3, "wan__num_layers": 6}


def split(state: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    adapter = {name: value for name, value in state.items() if name.startswith("vace_")}
    return {name: value for name, value in state.items() if name not in adapter}, adapter


def generator_like(source: WanVACETransformer3DModel, **changes: object) -> Generator:
    generator = tiny_generator(**VACE, **changes)
    backbone, adapter = split(source.state_dict())
    generator.backbone.load_state_dict(backbone)
    generator.branch.load_vace(adapter)
    return generator


@pytest.mark.parametrize("extras", [{}, {"branch__references": True, "branch__depth": True}])
@torch.no_grad()
def test_at_step_0_the_generator_is_vace(extras: dict[str, bool]) -> None:
    source = upstream_vace(CHANNELS)
    generator = generator_like(source, **extras)
    conditions = latent_conditions(generator, [tiny_window(poses=True)])
    x_t, time = torch.randn_like(conditions.render_latent), torch.tensor([0.6])
    found = generator.velocity(x_t, time, conditions)
    prompt = generator.prompt[None]
    expected = source(x_t, time * 1000.0, prompt, control_hidden_states=conditions.vace).sample
    silent = torch.zeros_like(conditions.vace)
    assert (source(x_t, time * 1000.0, prompt, control_hidden_states=silent).sample - expected).abs().max() > 1e-2
    say(f"branch against diffusers' VACE: {float((found - expected).abs().max()):.1e}")
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_context_is_grey_where_it_is_to_be_regenerated() -> None:
    generator, window = tiny_generator(**VACE), tiny_window(frames=9)
    window.known[:1] = True
    conditions = latent_conditions(generator, [window])
    hole = regenerate_mask(window, generator.config.conditioning)
    assert hole.any() and not hole.all() and not hole[0].any()
    inactive, reactive = conditions.vace[:, :CHANNELS], conditions.vace[:, CHANNELS : 2 * CHANNELS]
    grey = window.render.clone()
    grey[hole] = 0.5
    torch.testing.assert_close(inactive, generator.codec.encode(to_video(grey[None])))
    flat = torch.full_like(grey, 0.5)
    torch.testing.assert_close(reactive, generator.codec.encode(to_video(flat[None])))
    mask = conditions.vace[0, 2 * CHANNELS :].unflatten(0, (8, 8))
    for chunk, frames in ((0, [0]), (1, [1, 2, 3, 4]), (2, [5, 6, 7, 8])):
        for row, column in ((3, 5), (17, 30), (31, 47)):
            expected = float(hole[frames, row, column].any())
            assert mask[row % 8, column % 8, chunk, row // 8, column // 8] == expected
    shown = latent_conditions(tiny_generator(**VACE, branch__vace_reactive="render"), [window])
    flat[hole] = window.render[hole]
    expected = generator.codec.encode(to_video(flat[None]))
    torch.testing.assert_close(shown.vace[:, CHANNELS : 2 * CHANNELS], expected)


def test_an_adapter_of_another_model_is_refused() -> None:
    generator = tiny_generator(**VACE)
    _, adapter = split(upstream_vace(CHANNELS, num_blocks=2).state_dict())
    with pytest.raises(InputError, match=r"vace_blocks\.2"):
        generator.branch.load_vace(adapter)
    _, adapter = split(upstream_vace(CHANNELS, num_blocks=6).state_dict())
    with pytest.raises(InputError, match="3 blocks"):
        generator.branch.load_vace(adapter)
    _, adapter = split(upstream_vace(CHANNELS).state_dict())
    adapter["vace_patch_embedding.weight"] = adapter["vace_patch_embedding.weight"][:, :-1]
    with pytest.raises(InputError, match="vace_patch_embedding"):
        generator.branch.load_vace(adapter)


def test_everything_of_ours_starts_at_zero_and_learns() -> None:
    generator = generator_like(upstream_vace(CHANNELS))
    torch.nn.init.normal_(generator.backbone.proj_out.weight)
    window = tiny_window()
    conditions = dataclasses.replace(latent_conditions(generator, [window]))
    x_t = torch.randn_like(conditions.render_latent)
    generator.velocity(x_t, torch.tensor([0.5]), conditions).square().mean().backward()
    new = generator.branch.patch_embedding.weight.grad[:, generator.config.spec.vace_channels :]
    assert (generator.branch.patch_embedding.weight[:, generator.config.spec.vace_channels :] == 0).all()
    assert new.abs().amax((0, 2, 3, 4)).min() >= 0 and new.abs().max() > 0
