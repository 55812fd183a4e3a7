"""The same weights in diffusers' and in DiffSynth's classes give the same numbers. `pytest -s` prints the errors."""

from __future__ import annotations

import sys

import pytest
import tiny_wan_weights as tiny
import torch
from tiny_generator import wan_forward
from torch import Tensor

from faithfusion.video.model.codecs.wan import WanVae
from faithfusion.video.model.config import CodecConfig
from faithfusion.video.model.wan import TIME_SCALE, TokenTimes, WanBackbone, block_inputs, patchify, unpatchify

TOLERANCE = 1e-5


def report(what: str, found: Tensor, expected: Tensor) -> None:
    """Largest difference, where the outputs have about unit variance."""
    assert found.shape == expected.shape and 0.1 < expected.std() < 10.0
    error = float((found - expected).abs().max() / expected.std())
    sys.stdout.write(f"\n  {what}: largest difference {error:.1e} of the output's standard deviation ")
    assert error <= TOLERANCE


def inputs(time: float) -> dict[str, Tensor]:
    latents, prompt = torch.randn(1, tiny.CHANNELS, 3, 4, 6), torch.randn(1, 7, tiny.TEXT)
    return {"latents": latents, "context": prompt, "timestep": torch.tensor([time])}


@pytest.mark.parametrize("time", [0.0, 250.0, 613.0, 1000.0])
@torch.no_grad()
def test_dit(time: float) -> None:
    """diffusers computes the features of the time in float32, Wan-Video, DiffSynth and we in float64; near 1000 that
    alone makes more than 1e-5."""
    from diffsynth.pipelines.wan_video import model_fn_wan_video

    dit, given = tiny.diffsynth_dit(), inputs(time)
    model = tiny.upstream("dit")
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

    dit, vace, given = tiny.diffsynth_dit(), tiny.diffsynth_vace(), inputs(613.0)
    model = tiny.upstream("vace")
    context = torch.randn(1, tiny.CONTEXT, 3, 4, 6)
    expected = model_fn_wan_video(dit, vace=vace, vace_context=context, **given)
    assert (expected - model_fn_wan_video(dit, **given)).std() > 0.1  # the adapter does something
    found = model(given["latents"], given["timestep"], given["context"], control_hidden_states=context).sample
    report("VACE, diffusers against DiffSynth", found, expected)


@torch.no_grad()
def test_vae() -> None:
    vae = tiny.diffsynth_vae()
    vae.decoder.head[2].weight *= 0.2  # outputs of order 1
    scale = [torch.tensor(tiny.MEAN), 1.0 / torch.tensor(tiny.STD)]
    video = torch.rand(1, 3, 9, 32, 16) * 2.0 - 1.0
    model, codec = tiny.upstream("vae"), WanVae(CodecConfig("wan", tiny.LATENT, wan=tiny.VAE)).eval()
    for changed in (model, codec.vae):
        changed.load_state_dict(tiny.to_diffusers(vae.state_dict()))
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
    encoder, model = tiny.diffsynth_umt5(), tiny.upstream("umt5")
    ids, mask = torch.randint(tiny.VOCABULARY, (1, 160)), torch.ones(1, 160, dtype=torch.long)
    mask[:, 140:] = 0  # distances past the last bucket, and padding
    report("UMT5, transformers against DiffSynth", model(ids, mask).last_hidden_state, encoder(ids, mask))
