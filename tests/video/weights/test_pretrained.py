from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest
import tiny_wan_weights as tiny
import torch
from safetensors.torch import save_file
from tiny_wan_weights import VAE, WAN, named, same, written

from faithfusion.utils.errors import InputError
from faithfusion.video.model.config import WanConfig, WanVaeConfig
from faithfusion.video.weights.pretrained import (
    fingerprint,
    load_backbone,
    load_vace_adapter,
    load_vae,
    open_source,
    published_statistics,
    vace_layers,
)

LAYOUTS = ("official", "diffsynth", "diffusers")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A VACE model with VAE in diffusers' layout."""
    written("vace", "diffusers", tmp_path / "model")
    written("vae", "diffusers", tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("max_shard", ["5GB", "60KB"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_backbone_and_adapter_from_every_layout(layout: str, max_shard: str, tmp_path: Path) -> None:
    files = written("vace", layout, tmp_path, max_shard)
    assert (len(files) > 1) == (max_shard == "60KB")
    for source in (tmp_path, files[0], files[0].parent):
        assert same(load_backbone(str(source), WAN, tiny.CHANNELS), named("dit"))
        adapter = load_vace_adapter(str(source), WAN, tiny.CHANNELS)
        assert same(adapter.state, named("vace_adapter")) and adapter.layers == tiny.VACE_LAYERS


@pytest.mark.parametrize("layout", LAYOUTS)
def test_adapter_alone(layout: str, tmp_path: Path) -> None:
    files = written("vace_adapter", layout, tmp_path)
    adapter = load_vace_adapter(str(files[0]), WAN, tiny.CHANNELS)
    assert same(adapter.state, named("vace_adapter")) and adapter.layers == (0, 2)
    with pytest.raises(InputError, match="a VACE adapter alone .*; expected a Wan2.1 DiT"):
        load_backbone(str(files[0]), WAN, tiny.CHANNELS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_vae_from_every_layout(layout: str, tmp_path: Path) -> None:
    files = written("vae", layout, tmp_path)
    if layout != "diffusers":  # no config.json of its own: the published statistics, of 16 channels
        with pytest.raises(InputError, match="16 latent means; expected 4"):
            load_vae(str(tmp_path), VAE, tiny.LATENT)
        (files[0].parent / "config.json").write_text(json.dumps({"latents_mean": tiny.MEAN, "latents_std": tiny.STD}))
    for source in (tmp_path, files[0]):
        vae = load_vae(str(source), VAE, tiny.LATENT)
        assert same(vae.state, named("vae"))
        assert (list(vae.latents_mean), list(vae.latents_std)) == (tiny.MEAN, tiny.STD)


def test_published_statistics_are_those_of_diffsynth() -> None:
    from diffsynth.models.wan_video_vae import WanVideoVAE

    vae, published = WanVideoVAE(), published_statistics()
    assert torch.equal(vae.mean, torch.tensor(published["latents_mean"]))
    assert torch.equal(vae.std, torch.tensor(published["latents_std"]))


def test_dtype_and_sizes(saved: Path) -> None:
    half = load_backbone(str(saved), WAN, tiny.CHANNELS, torch.bfloat16)
    assert all(value.dtype is torch.bfloat16 for value in half.values())
    assert same(half, {name: value.bfloat16() for name, value in named("dit").items()})
    assert vace_layers(15, 30) == tuple(range(0, 30, 2)) and vace_layers(8, 40) == (0, 5, 10, 15, 20, 25, 30, 35)
    with pytest.raises(InputError, match="7 adapter blocks"):
        vace_layers(7, 30)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (
            WanConfig(30, 12, 128, 8960, 4096, 256),
            "layers 4, dim 24, ffn 40, text 20, freq 32, heads 2; expected .* layers 30",
        ),
        (WanConfig(tiny.LAYERS, tiny.HEADS, tiny.HEAD_DIM, tiny.FFN, 4096, tiny.FREQ), "text 20; expected .*text 4096"),
        (WanConfig(tiny.LAYERS, 3, 8, tiny.FFN, tiny.TEXT, tiny.FREQ), "heads 2; expected .*heads 3"),
    ],
)
def test_other_sizes_than_configured_are_refused(config: WanConfig, words: str, saved: Path) -> None:
    for load in (load_backbone, load_vace_adapter):
        with pytest.raises(InputError, match=words):
            load(str(saved), config, tiny.CHANNELS)
    with pytest.raises(InputError, match="inputs 4, outputs 4; expected the configured model: inputs 16, outputs 16"):
        load_backbone(str(saved), WAN, 16)
    with pytest.raises(InputError, match="WanVaeConfig.*base_dim=96"):
        load_vae(str(saved), WanVaeConfig(), tiny.LATENT)


def test_weights_of_the_wrong_model_are_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the Wan2.1 VAE; expected a Wan2.1 DiT"):
        load_backbone(str(saved / "vae/diffusion_pytorch_model.safetensors"), WAN, tiny.CHANNELS)
    with pytest.raises(InputError, match="a Wan2.1 DiT with its VACE adapter .*; expected the Wan2.1 VAE"):
        load_vae(str(saved / "transformer"), VAE, tiny.LATENT)
    image_to_video = tiny.official("dit") | {"blocks.0.cross_attn.k_img.weight": torch.zeros(24, 24)}
    save_file(image_to_video, tmp_path / "i2v.safetensors")
    with pytest.raises(
        InputError, match=r"i2v.safetensors: 1 unknown \(blocks.0.cross_attn.k_img.weight\), looks like"
    ):
        load_backbone(str(tmp_path / "i2v.safetensors"), WAN, tiny.CHANNELS)
    with pytest.raises(InputError, match="no text_encoder weights"):
        open_source(str(saved), "text_encoder")


def write_holes(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file of float32 zeros that takes no room on the disk."""
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def test_a_14b_file_for_a_1_3b_configuration_is_refused_unread(tmp_path: Path) -> None:
    from diffusers import WanTransformer3DModel

    with torch.device("meta"):
        model = WanTransformer3DModel(num_attention_heads=40, ffn_dim=13824, num_layers=40)
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    write_holes(path, {name: tuple(value.shape) for name, value in model.state_dict().items()})
    assert path.stat().st_size > 57e9
    start = time.perf_counter()
    with pytest.raises(InputError, match=r"a Wan2.1 DiT \(14B: 40 layers, width 5120, 16 input channels\): layers 40"):
        load_backbone(str(tmp_path), WanConfig(30, 12, 128, 8960, 4096, 256), 16)
    assert time.perf_counter() - start < 5.0


def test_fingerprint_knows_the_weights_in_any_layout_and_precision(saved: Path, tmp_path: Path) -> None:
    known = fingerprint(named("dit"))
    files = written("vace", "official", tmp_path / "official")
    assert fingerprint(load_backbone(str(files[0]), WAN, tiny.CHANNELS)) == known
    assert fingerprint(load_backbone(str(saved), WAN, tiny.CHANNELS, torch.bfloat16)) == known
    for name in ("proj_out.weight", "blocks.3.norm2.bias"):
        other = named("dit")
        other[name] = other[name] + 0.1
        assert fingerprint(other) != known
