from __future__ import annotations

import pytest
import torch
from reference.flow import chunk_of
from tiny_generator import TINY_VAE

from faithfusion.video.model.codecs.base import NormalisedCodec, build_codec
from faithfusion.video.model.config import CodecConfig, WanVaeConfig

CONFIGS = {
    "tiny": CodecConfig(name="tiny", latent_channels=8, tiny=TINY_VAE),
    "wan": CodecConfig(name="wan", latent_channels=8, wan=WanVaeConfig(4, (1, 1, 1, 1), 1)),
}


def codec_with_random_weights(name: str) -> NormalisedCodec:
    codec = build_codec(CONFIGS[name]).eval()
    with torch.no_grad():
        for parameter in codec.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return codec


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("frames", [1, 9])
@torch.no_grad()
def test_shapes_and_determinism(name: str, frames: int) -> None:
    codec, video = codec_with_random_weights(name), torch.rand(2, 3, frames, 16, 24) * 2 - 1
    latents = codec.encode(video)
    assert latents.shape == (2, 8, (frames - 1) // 4 + 1, 2, 3)
    assert codec.decode(latents).shape == video.shape
    assert torch.equal(latents, codec.encode(video))


@torch.no_grad()
def test_a_frame_changes_the_latent_of_its_own_chunk_only() -> None:
    codec, video = codec_with_random_weights("tiny"), torch.rand(1, 3, 13, 16, 16)
    latents = codec.encode(video)
    for frame in range(13):
        changed = video.clone()
        changed[:, :, frame] += 0.5
        moved = (codec.encode(changed) - latents).abs().amax(dim=(0, 1, 3, 4)) > 0
        assert moved.nonzero().flatten().tolist() == [chunk_of(frame)]


@torch.no_grad()
def test_a_latent_decodes_to_the_frames_of_its_own_chunk_only() -> None:
    codec, latents = codec_with_random_weights("tiny"), torch.randn(1, 8, 4, 2, 2)
    video = codec.decode(latents)
    for chunk in range(4):
        changed = latents.clone()
        changed[:, :, chunk] += 0.5
        moved = (codec.decode(changed) - video).abs().amax(dim=(0, 1, 3, 4)) > 0
        assert moved.nonzero().flatten().tolist() == [frame for frame in range(13) if chunk_of(frame) == chunk]


@torch.no_grad()
def test_wan_codec_never_looks_ahead() -> None:
    codec, video = codec_with_random_weights("wan"), torch.rand(1, 3, 9, 16, 16)
    changed = video.clone()
    changed[:, :, 5:] += 0.5
    before, after = codec.encode(video), codec.encode(changed)
    assert torch.equal(before[:, :, :2], after[:, :, :2])
    assert not torch.equal(before[:, :, 2], after[:, :, 2])


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_statistics_normalise_latents_and_leave_the_round_trip_unchanged(name: str) -> None:
    codec, video = codec_with_random_weights(name), torch.rand(2, 3, 5, 32, 32)
    raw = codec.encode(video)
    decoded = codec.decode(raw)
    codec.set_statistics(raw.mean(dim=(0, 2, 3, 4)), raw.std(dim=(0, 2, 3, 4)))
    latents = codec.encode(video)
    torch.testing.assert_close(latents.mean(dim=(0, 2, 3, 4)), torch.zeros(8), atol=1e-4, rtol=0)
    torch.testing.assert_close(latents.std(dim=(0, 2, 3, 4)), torch.ones(8), atol=1e-4, rtol=0)
    torch.testing.assert_close(codec.decode(latents), decoded, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_before_training_the_tiny_codec_is_a_low_pass_transform() -> None:
    codec = build_codec(CodecConfig())
    steps = [torch.linspace(-0.3, 0.3, n) for n in (9, 32, 32)]
    smooth = (steps[0][:, None, None] + steps[1][:, None] + steps[2]).expand(1, 3, 9, 32, 32)
    assert (codec.decode(codec.encode(smooth)) - smooth).square().mean() < 1e-3
    noise = torch.rand(2, 1, 3, 9, 32, 32) * 2 - 1
    latents = [codec.encode(video) for video in noise]
    assert (codec.decode(latents[0]) - noise[0]).square().mean() < noise[0].square().mean()
    torch.testing.assert_close(codec.encode(codec.decode(latents[0][:, :, 1:]))[:, :, 1:], latents[0][:, :, 2:])


@pytest.mark.parametrize("shape", [(4, 16, 16), (5, 20, 16), (5, 16, 12)])
def test_sizes_that_do_not_fit_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="4k \\+ 1"):
        build_codec(CONFIGS["tiny"]).encode(torch.zeros(1, 3, *shape))


def test_the_default_tiny_codec_is_small() -> None:
    assert sum(p.numel() for p in build_codec(CodecConfig()).parameters()) < 2_000_000
