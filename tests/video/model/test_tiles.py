from __future__ import annotations

import pytest
import torch
from torch import Tensor

from faithfusion.utils.errors import InputError
from faithfusion.video.model.codecs.base import NormalisedCodec, build_codec
from faithfusion.video.model.codecs.tiles import Tiles, in_tiles, spans
from faithfusion.video.model.config import CodecConfig, TinyVaeConfig, WanVaeConfig
from faithfusion.video.model.memory import set_tiles
from faithfusion.video.model.memory_config import MemoryConfig


def codec_of(name: str, *, local: bool = False) -> NormalisedCodec:
    """`local`: without the attention over whole frames in the middle of encoder and decoder."""
    sizes = TinyVaeConfig(16, 16, 16, 1, 1, 1)
    codec = build_codec(CodecConfig(name, latent_channels=8, tiny=sizes, wan=WanVaeConfig(4, (1, 1, 1, 1), 1))).eval()
    with torch.no_grad():
        for parameter_name, parameter in codec.named_parameters():
            if local and ".attentions." in parameter_name and ".proj." in parameter_name:
                parameter.zero_()
    return codec


@pytest.mark.parametrize("side", [8, 40, 64, 72, 80, 104, 480, 832, 1288])
@pytest.mark.parametrize(("pixels", "overlap"), [(64, 16), (64, 0), (256, 64), (256, 128)])
def test_spans_cover_a_side_with_tiles_of_one_size(side: int, pixels: int, overlap: int) -> None:
    row = spans(side, Tiles(pixels, overlap), 8)
    covered = torch.zeros(side)
    for span in row:
        covered[span.start : span.stop] += 1
        assert span.stop - span.start == min(pixels, side) and span.start % 8 == 0
    assert (covered > 0).all() and row[0].start == 0 and row[-1].stop == side
    for left, right in zip(row, row[1:], strict=False):
        assert left.after == right.before == left.stop - right.start >= overlap
    fewer = (len(row) - 1) * pixels - (len(row) - 2) * overlap
    assert len(row) == 1 or fewer < side, "one tile less would do"


@pytest.mark.parametrize(("cell", "result_cell"), [(1, 8), (8, 1), (8, 8)])
def test_a_function_of_single_cells_is_the_same_in_tiles(cell: int, result_cell: int) -> None:
    """Weights sum to one: tiles are invisible to what looks at one cell only."""

    def function(values: Tensor) -> Tensor:
        if cell < result_cell:
            return torch.nn.functional.avg_pool2d(values[0].transpose(0, 1), 8).transpose(0, 1)[None]
        return values.repeat_interleave(cell // result_cell, -1).repeat_interleave(cell // result_cell, -2)

    values = torch.rand(1, 2, 3, 120 // cell, 88 // cell)
    torch.testing.assert_close(
        in_tiles(function, values, Tiles(48, 16), cell, result_cell), function(values), atol=1e-6, rtol=1e-6
    )


def test_blending_is_a_linear_ramp() -> None:
    """Each tile gives its own number: the twin interpolates between the centres of the cells that overlap."""
    numbers = iter([1.0, 5.0])
    result = in_tiles(
        lambda part: torch.full_like(part, next(numbers)), torch.zeros(1, 1, 1, 8, 48), Tiles(32, 16), 1, 1
    )
    expected = [1.0] * 16 + [1.0 + 4.0 * (k + 0.5) / 16 for k in range(16)] + [5.0] * 16
    torch.testing.assert_close(result[0, 0, 0, 0], torch.tensor(expected))


@pytest.mark.parametrize("name", ["wan", "tiny"])
@pytest.mark.parametrize(("height", "width"), [(96, 160), (88, 136), (200, 72), (16, 328)])
@torch.no_grad()
def test_tiles_keep_the_sizes_of_frames_and_latents(name: str, height: int, width: int) -> None:
    codec, video = codec_of(name), torch.rand(1, 3, 9, height, width) * 2 - 1
    latents = codec.encode(video)
    set_tiles(codec, MemoryConfig(vae_tile_pixels=64, vae_tile_overlap=16))
    assert codec.encode(video).shape == latents.shape == (1, 8, 3, height // 8, width // 8)
    assert codec.decode(latents).shape == video.shape


@pytest.mark.parametrize("name", ["wan", "tiny"])
@torch.no_grad()
def test_one_tile_is_the_whole_frame_and_zero_is_no_tiles(name: str) -> None:
    codec, video = codec_of(name), torch.rand(1, 3, 5, 64, 48) * 2 - 1
    latents = codec.encode(video)
    frames = codec.decode(latents)
    set_tiles(codec, MemoryConfig(vae_tile_pixels=64, vae_tile_overlap=16))
    assert torch.equal(codec.encode(video), latents) and torch.equal(codec.decode(latents), frames)
    set_tiles(codec, MemoryConfig(vae_tile_pixels=32, vae_tile_overlap=16))
    assert codec.encode(video).shape == latents.shape
    set_tiles(codec, MemoryConfig())
    assert torch.equal(codec.encode(video), latents)


@torch.no_grad()
def test_tiles_differ_from_the_whole_frame_only_near_their_borders() -> None:
    codec, video = codec_of("wan", local=True), torch.rand(1, 3, 5, 16, 400) * 2 - 1
    latents = codec.encode(video)
    frames = codec.decode(latents)
    set_tiles(codec, MemoryConfig(vae_tile_pixels=256, vae_tile_overlap=112))
    alone = spans(400, codec.tiles, codec.stride)[
        1
    ].start  # pixels that belong to the first tile only; its border is beyond what a cell sees
    torch.testing.assert_close(codec.encode(video)[..., : alone // 8], latents[..., : alone // 8], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(codec.decode(latents)[..., :alone], frames[..., :alone], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(codec.decode(latents), frames, atol=1e-3)


@torch.no_grad()
def test_closer_to_the_whole_frame_than_the_tiles_of_diffusers() -> None:
    """On random weights, the relative error of latents and frames for tiles of the same size."""
    codec, video = codec_of("wan"), torch.rand(1, 3, 5, 80, 144) * 2 - 1
    latents = codec.encode(video)
    frames = codec.decode(latents)

    def errors() -> tuple[float, float]:
        encoded, decoded = codec.encode(video) - latents, codec.decode(latents) - frames
        return float(encoded.std() / latents.std()), float(decoded.std() / frames.std())

    set_tiles(codec, MemoryConfig(vae_tile_pixels=48, vae_tile_overlap=16))
    ours = errors()
    set_tiles(codec, MemoryConfig(vae_tile_pixels=72, vae_tile_overlap=32))
    larger = errors()
    set_tiles(codec, MemoryConfig())
    codec.vae.enable_tiling(48, 48, 32, 32)
    theirs = errors()
    for large, own, other in zip(larger, ours, theirs, strict=True):
        assert large < own < other, (larger, ours, theirs)
    assert max(larger) < 0.4


@pytest.mark.parametrize(("pixels", "overlap"), [(8, 0), (60, 8), (64, 12), (64, 64), (64, -8)])
def test_bad_tiles(pixels: int, overlap: int) -> None:
    with pytest.raises(InputError, match="memory.vae_tile"):
        set_tiles(codec_of("tiny"), MemoryConfig(vae_tile_pixels=pixels, vae_tile_overlap=overlap))
