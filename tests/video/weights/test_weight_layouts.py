from __future__ import annotations

import pytest
import tiny_wan_weights as tiny
import torch
from torch import Tensor, nn

from faithfusion.utils.errors import InputError
from faithfusion.video.weights.weight_layouts import detect, match, umt5_config

SIZES = {"1.3B": (12, 8960, 30, 15), "14B": (40, 13824, 40, 8)}  # heads of 128, ffn, layers, adapter blocks


def shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def same_tables(official: dict[str, tuple[int, ...]], diffusers: dict[str, tuple[int, ...]]) -> None:
    """Our map of the official names is exactly diffusers' set of names with its shapes, and the other way round."""
    there, back = match(official), match(diffusers)
    assert there.shapes == diffusers == back.shapes
    assert sorted(there.names.values()) == sorted(official) and list(back.names) == list(there.names)


@pytest.mark.parametrize("size", SIZES)
def test_published_dit_and_vace_have_upstreams_names_and_shapes(size: str) -> None:
    from diffsynth.models.wan_video_dit import WanModel
    from diffsynth.models.wan_video_vace import VaceWanModel
    from diffusers import WanTransformer3DModel, WanVACETransformer3DModel

    heads, ffn, layers, adapters = SIZES[size]
    places = tuple(range(0, layers, layers // adapters))
    common = {"num_attention_heads": heads, "ffn_dim": ffn, "num_layers": layers}
    width = {"dim": 128 * heads, "ffn_dim": ffn, "num_heads": heads}
    with torch.device("meta"):
        channels = {"in_dim": 16, "out_dim": 16, "text_dim": 4096, "freq_dim": 256, "eps": 1e-6}
        dit = WanModel(**width, **channels, patch_size=(1, 2, 2), num_layers=layers, has_image_input=False)
        vace = VaceWanModel(vace_layers=places, **width)
        upstream = WanTransformer3DModel(**common)
        both = WanVACETransformer3DModel(**common, vace_layers=list(places))
    same_tables(shapes(dit), shapes(upstream))
    same_tables(shapes(dit) | shapes(vace), shapes(both))
    same_tables(shapes(vace), {name: shape for name, shape in shapes(both).items() if name.startswith("vace_")})
    assert size in match(shapes(upstream)).describe()
    millions = sum(value.numel() for value in upstream.parameters()) / 1e6
    assert millions == pytest.approx({"1.3B": 1419, "14B": 14289}[size], abs=1)


def test_vae_has_upstreams_names_and_shapes() -> None:
    from diffsynth.models.wan_video_vae import VideoVAE_
    from diffusers import AutoencoderKLWan

    with torch.device("meta"):
        same_tables(shapes(VideoVAE_()), shapes(AutoencoderKLWan()))
        other = shapes(AutoencoderKLWan(6, dim_mult=[1, 2, 2, 3], num_res_blocks=3))
    found = match(other)
    assert found.shapes == other and [found.symbols[f"level{level}"] for level in range(4)] == [1, 2, 2, 3]


def test_text_encoder_has_upstreams_names_and_shapes() -> None:
    from diffsynth.models.wan_video_text_encoder import WanTextEncoder
    from transformers import UMT5Config, UMT5EncoderModel

    with torch.device("meta"):
        official = shapes(WanTextEncoder())
        diffusers = shapes(UMT5EncoderModel(UMT5Config(**umt5_config(match(official).symbols))))
    tied = "encoder.embed_tokens.weight"
    without = {name: shape for name, shape in diffusers.items() if name != tied}
    same_tables(official, without)
    assert match(diffusers).names == match(without).names  # files hold the tied tensor once or twice
    renamed = {tied if name == "shared.weight" else name: shape for name, shape in without.items()}
    assert match(renamed).names["shared.weight"] == tied


@pytest.mark.parametrize("layout", ["official", "diffsynth"])
@pytest.mark.parametrize("kind", tiny.KINDS)
def test_kind_and_layout_are_told_by_the_names(kind: str, layout: str) -> None:
    state = tiny.official(kind)
    if layout == "diffsynth" and kind == "vae":
        state = {f"model.{name}": value for name, value in state.items()}
    assert detect(tiny.to_diffusers(state)) == (kind, "diffusers")
    assert detect(state) == (kind, layout if kind == "vae" else "official")


def test_diffsynths_own_converter_agrees() -> None:
    from diffsynth.utils.state_dict_converters.wan_video_dit import WanVideoDiTFromDiffusers

    theirs = WanVideoDiTFromDiffusers(tiny.named("dit"))
    assert tiny.same(theirs, tiny.official("dit"))


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_every_single_tensor_is_needed_and_has_to_fit(kind: str) -> None:
    known = {name: tuple(value.shape) for name, value in tiny.official(kind).items()}
    for name, shape in known.items():
        with pytest.raises(InputError):
            match({other: size for other, size in known.items() if other != name})
        with pytest.raises(InputError, match="of another shape|missing"):
            match(known | {name: (*shape, 1)})
    with pytest.raises(InputError, match=r"1 unknown \(surplus\)"):
        match(known | {"surplus": (1,)})


def changed(kind: str, **tensors: Tensor) -> dict[str, Tensor]:
    return tiny.official(kind) | {name.replace("__", "."): value for name, value in tensors.items()}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (lambda: changed("dit", blocks__0__cross_attn__k_img__weight=torch.zeros(24, 24)), "image-to-video"),
        (lambda: changed("dit", img_emb__proj__0__weight=torch.zeros(4)), "image-to-video"),
        (lambda: {"blocks.0.self_attn.q.lora_A.weight": torch.zeros(4, 4)}, "a LoRA"),
        (lambda: {"transformer.h.0.attn.c_attn.weight": torch.zeros(4, 4)}, "expected weights of Wan2.1"),
        (dict, "expected weights of Wan2.1"),
        (lambda: changed("vae", **{"blocks__99999999__ffn__0__weight": torch.zeros(1)}), "1 unknown"),
        (lambda: changed("dit", **{"blocks__99999999__ffn__0__weight": torch.zeros(1)}), "unknown"),
    ],
)
def test_strangers_are_named_in_one_line(state: object, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        match({name: tuple(value.shape) for name, value in state().items()}, "file.safetensors")
    assert str(error.value).startswith("file.safetensors: ") and "\n" not in str(error.value)
    assert len(str(error.value)) < 400
