"""A generator on public weights: made-up files of the tiny sizes, in diffusers' names."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan, WanVACETransformer3DModel
from safetensors.torch import save_file
from tiny_generator import tiny_window
from tiny_public_weights import public_config, write_public_weights

from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator
from faithfusion.video.editing.editor_config import SamplerConfig
from faithfusion.video.editing.encode import latent_conditions
from faithfusion.video.editing.sample import sample
from faithfusion.video.weights.assemble import assemble_generator


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_public_weights(tmp_path)


@torch.no_grad()
def test_it_is_the_public_model_and_samples_without_training(folder: Path) -> None:
    generator = assemble_generator(public_config(folder)).eval()
    source = WanVACETransformer3DModel.from_pretrained(folder / "transformer")
    conditions = latent_conditions(generator, [tiny_window()])
    x_t, time = torch.randn_like(conditions.render_latent), torch.tensor([0.6])
    expected = source(x_t, time * 1000.0, generator.prompt[None], control_hidden_states=conditions.vace).sample
    torch.testing.assert_close(generator.velocity(x_t, time, conditions), expected, atol=1e-5, rtol=1e-5)
    vae = AutoencoderKLWan.from_pretrained(folder / "vae")
    raw = vae.encode(torch.zeros(1, 3, 5, 32, 48)).latent_dist.mode()
    mean, std = (
        torch.tensor(getattr(vae.config, f"latents_{name}")).reshape(1, -1, 1, 1, 1) for name in ("mean", "std")
    )
    torch.testing.assert_close(generator.codec.encode(torch.zeros(1, 3, 5, 32, 48)), (raw - mean) / std)
    result = sample(generator, conditions, SamplerConfig(path="hold", steps=3), make_generator(0, "noise"))
    assert result.isfinite().all() and (result - conditions.render_latent).abs().max() > 0.1


@torch.no_grad()
def test_a_branch_of_clones_on_the_same_backbone(folder: Path) -> None:
    config = public_config(folder, branch__init="dit", branch__num_blocks=2)
    generator = assemble_generator(config, make_generator(1, "init"))
    again = assemble_generator(config, make_generator(1, "init"))
    assert all(torch.equal(a, b) for a, b in zip(generator.parameters(), again.parameters(), strict=True))
    for clone, block in zip(generator.branch.blocks, generator.backbone.blocks, strict=False):
        assert torch.equal(clone.ffn.net[2].weight, block.ffn.net[2].weight)


@torch.no_grad()
def test_half_precision_files_stay_half_but_for_norms_and_times(folder: Path) -> None:
    path = folder / "transformer/diffusion_pytorch_model.safetensors"
    source = WanVACETransformer3DModel.from_pretrained(folder / "transformer").bfloat16()
    path.unlink()
    save_file({name: value.contiguous() for name, value in source.state_dict().items()}, path)
    generator = assemble_generator(public_config(folder))
    block = generator.backbone.blocks[0]
    assert block.attn1.to_q.weight.dtype == block.attn1.norm_q.weight.dtype == torch.bfloat16
    assert block.scale_shift_table.dtype == block.norm2.weight.dtype == torch.float32
    conditions = latent_conditions(generator, [tiny_window()])
    velocity = generator.velocity(conditions.render_latent, torch.tensor([0.5]), conditions)
    assert velocity.isfinite().all() and velocity.dtype == torch.float32


def test_other_models_and_prompts_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="layers 6"):
        assemble_generator(public_config(folder, wan__num_layers=4))
    with pytest.raises(InputError, match="codec.name"):
        assemble_generator(public_config(folder, codec__name="tiny"))
    with pytest.raises(InputError, match="prompt_tokens"):
        assemble_generator(public_config(folder, prompt_tokens=8))
    config = public_config(folder)
    missing = dataclasses.replace(config.pretrained, prompt=str(folder / "absent.safetensors"))
    with pytest.raises(InputError, match="no such file"):
        assemble_generator(dataclasses.replace(config, pretrained=missing))
    with pytest.raises(InputError, match="adapter"):
        assemble_generator(public_config(folder, branch__num_blocks=2))
