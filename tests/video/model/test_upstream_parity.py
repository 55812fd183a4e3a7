"""The same weights in diffusers' and in DiffSynth's classes give the same numbers. `pytest -s` prints the errors."""

from __future__ import annotations

import sys

import pytest
import tiny_wan_weights as tiny
import torch
from torch import Tensor, nn

from faithfusion.video.model.codecs.wan import WanVae
from faithfusion.video.model.config import CodecConfig
from faithfusion.video.model.wan import (
    TIME_SCALE,
    TokenTimes,
    WanBackbone,
    block_inputs,
    patchify,
    unpatchify,
    wan_forward,
)
from faithfusion.video.weights.weight_layouts import to_diffusers

TOLERANCE = 1e-5
TRANSFORMER = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": tiny.HEADS,
    "attention_head_dim": tiny.HEAD_DIM,
    "in_channels": tiny.CHANNELS,
    "out_channels": tiny.CHANNELS,
    "text_dim": tiny.TEXT,
    "freq_dim": tiny.FREQ,
    "ffn_dim": tiny.FFN,
    "num_layers": tiny.LAYERS,
}


def report(what: str, found: Tensor, expected: Tensor) -> None:
    """Largest difference, where the outputs have about unit variance."""
    assert found.shape == expected.shape and 0.1 < expected.std() < 10.0
    error = float((found - expected).abs().max() / expected.std())
    sys.stdout.write(f"\n  {what}: largest difference {error:.1e} of the output's standard deviation ")
    assert error <= TOLERANCE


def loaded(model: nn.Module, state: dict[str, Tensor], kind: str) -> nn.Module:
    model.load_state_dict(to_diffusers(state, kind))
    return model.eval().requires_grad_(False)


def inputs(time: float) -> dict[str, Tensor]:
    latents, prompt = torch.randn(1, tiny.CHANNELS, 3, 4, 6), torch.randn(1, 7, tiny.TEXT)
    return {"latents": latents, "context": prompt, "timestep": torch.tensor([time])}


@pytest.mark.parametrize("time", [0.0, 250.0, 613.0, 1000.0])
@torch.no_grad()
def test_dit(time: float) -> None:
    """diffusers computes the features of the time in float32, Wan-Video, DiffSynth and we in float64; near 1000 that
    alone makes more than 1e-5."""
    from diffsynth.pipelines.wan_video import model_fn_wan_video
    from diffusers import WanTransformer3DModel

    dit, given = tiny.diffsynth_dit(), inputs(time)
    model = loaded(WanTransformer3DModel(**TRANSFORMER), dit.state_dict(), "dit")
    expected = model_fn_wan_video(dit, **given)
    if time < 1000.0:
        found = model(given["latents"], given["timestep"], given["context"]).sample
        report(f"DiT at time {time:.0f}, diffusers against DiffSynth", found, expected)
    backbone, latents = WanBackbone(model), given["latents"]
    read = block_inputs(backbone, latents, TokenTimes(given["timestep"][:, None] / TIME_SCALE), given["context"])
    found = wan_forward(backbone, patchify(backbone.patch_embedding, latents), read)
    report(f"DiT at time {time:.0f}, ours against DiffSynth", unpatchify(found, read, latents, 2), expected)


@torch.no_grad()
def test_vace() -> None:
    from diffsynth.pipelines.wan_video import model_fn_wan_video
    from diffusers import WanVACETransformer3DModel

    dit, vace, given = tiny.diffsynth_dit(), tiny.diffsynth_vace(), inputs(613.0)
    model = WanVACETransformer3DModel(**TRANSFORMER, vace_layers=list(tiny.VACE_LAYERS), vace_in_channels=tiny.CONTEXT)
    loaded(model, dit.state_dict() | vace.state_dict(), "vace")
    context = torch.randn(1, tiny.CONTEXT, 3, 4, 6)
    expected = model_fn_wan_video(dit, vace=vace, vace_context=context, **given)
    assert (expected - model_fn_wan_video(dit, **given)).std() > 0.1  # the adapter does something
    found = model(given["latents"], given["timestep"], given["context"], control_hidden_states=context).sample
    report("VACE, diffusers against DiffSynth", found, expected)


@torch.no_grad()
def test_vae() -> None:
    from diffusers import AutoencoderKLWan

    vae = tiny.diffsynth_vae()
    vae.decoder.head[2].weight *= 0.2  # outputs of order 1
    scale = [torch.tensor(tiny.MEAN), 1.0 / torch.tensor(tiny.STD)]
    video = torch.rand(1, 3, 9, 32, 16) * 2.0 - 1.0
    model = loaded(AutoencoderKLWan(tiny.BASE, z_dim=tiny.LATENT, num_res_blocks=1), vae.state_dict(), "vae")
    codec = WanVae(CodecConfig("wan", tiny.LATENT, wan=tiny.VAE)).eval()
    codec.vae.load_state_dict(to_diffusers(vae.state_dict(), "vae"))
    codec.set_statistics(torch.tensor(tiny.MEAN), torch.tensor(tiny.STD))

    latents = vae.encode(video, scale)
    mean, std = (torch.tensor(values)[:, None, None, None] for values in (tiny.MEAN, tiny.STD))
    report("VAE encoder, diffusers against DiffSynth", (model.encode(video).latent_dist.mode() - mean) / std, latents)
    report("VAE encoder, our codec against DiffSynth", codec.encode(video), latents)
    decoded = vae.decode(latents, scale).clamp(-1.0, 1.0)  # diffusers' decoder and DiffSynth's pipeline clamp too
    assert (decoded.abs() < 1.0).float().mean() > 0.98
    report("VAE decoder, diffusers against DiffSynth", model.decode(latents * std + mean).sample, decoded)
    report("VAE decoder, our codec against DiffSynth", codec.decode(latents), decoded)


@torch.no_grad()
def test_text_encoder() -> None:
    from transformers import UMT5Config, UMT5EncoderModel

    from faithfusion.video.weights.prompt import umt5_config
    from faithfusion.video.weights.weight_layouts import match

    encoder = tiny.diffsynth_umt5()
    state = encoder.state_dict()
    found = match({name: tuple(value.shape) for name, value in state.items()})
    config = UMT5Config(**umt5_config(found), attn_implementation="eager")  # as in `text`; torch's kernel rounds more
    model = UMT5EncoderModel(config)
    named = to_diffusers(state, "umt5")
    model.load_state_dict(named | {"encoder.embed_tokens.weight": named["shared.weight"]})
    ids, mask = torch.randint(tiny.VOCABULARY, (1, 160)), torch.ones(1, 160, dtype=torch.long)
    mask[:, 140:] = 0  # distances past the last bucket, and padding
    report("UMT5, transformers against DiffSynth", model.eval()(ids, mask).last_hidden_state, encoder(ids, mask))
