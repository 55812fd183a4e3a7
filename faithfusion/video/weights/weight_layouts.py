"""Tells which of Wan2.1's public weights a set of tensors is: its kind, layout and sizes.

Layouts: "official" (Wan-Video's own files), "diffsynth" (official names, the VAE's with the prefix `model.`) and
"diffusers" (its transformer and VAE, and transformers' UMT5 encoder), whose names the code of this project uses.
diffusers' own converters rename the transformer and the VAE; the text encoder, which they do not know, has its names
here. The converters rename anything. This is strict because names and shapes are then compared with the real module,
built without memory in the sizes that the tensors tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch

from faithfusion.utils.errors import InputError

Kind = Literal["dit", "vace", "vace_adapter", "vae", "umt5"]
Layout = Literal["official", "diffsynth", "diffusers"]
Shape = tuple[int, ...]

PREFIX = "model."  # that DiffSynth's VAE has; its converter takes it off a DiT too
TIED = "encoder.embed_tokens.weight"  # the same tensor as shared.weight, in some files of the text encoder
WIDTHS = {1536: "1.3B", 5120: "14B"}
TEXT_BLOCK = {  # UMT5: official name of a block's tensor, transformers' name
    "norm1.weight": "layer.0.layer_norm.weight",
    "attn.q.weight": "layer.0.SelfAttention.q.weight",
    "attn.k.weight": "layer.0.SelfAttention.k.weight",
    "attn.v.weight": "layer.0.SelfAttention.v.weight",
    "attn.o.weight": "layer.0.SelfAttention.o.weight",
    "pos_embedding.embedding.weight": "layer.0.SelfAttention.relative_attention_bias.weight",
    "norm2.weight": "layer.1.layer_norm.weight",
    "ffn.gate.0.weight": "layer.1.DenseReluDense.wi_0.weight",
    "ffn.fc1.weight": "layer.1.DenseReluDense.wi_1.weight",
    "ffn.fc2.weight": "layer.1.DenseReluDense.wo.weight",
}
TEXT_OUTSIDE = {"token_embedding.weight": "shared.weight", "norm.weight": "encoder.final_layer_norm.weight"}
SIGNATURES: tuple[tuple[str, Kind, bool], ...] = (  # how one of the names begins, kind, diffusers?
    (r"encoder\.downsamples\.\d|decoder\.upsamples\.\d", "vae", False),
    (r"encoder\.down_blocks\.\d|decoder\.up_blocks\.\d", "vae", True),
    (r"blocks\.\d+\.pos_embedding\.", "umt5", False),
    (r"encoder\.block\.\d+\.layer\.0\.SelfAttention\.", "umt5", True),
    (r"blocks\.\d+\.self_attn\.", "dit", False),
    (r"blocks\.\d+\.attn1\.", "dit", True),
    (r"vace_blocks\.\d+\.self_attn\.", "vace_adapter", False),
    (r"vace_blocks\.\d+\.attn1\.", "vace_adapter", True),
)
STRANGERS = (  # part of a name, what such a file is
    ("lora", "a LoRA"),
    ("k_img", "an image-to-video model (I2V, FLF2V or Fun-InP)"),
    ("add_k_proj", "an image-to-video model (I2V, FLF2V or Fun-InP)"),
    ("img_emb", "an image-to-video model (I2V, FLF2V or Fun-InP)"),
    ("image_embedder", "an image-to-video model (I2V, FLF2V or Fun-InP)"),
    ("scale_weight", "a model quantised to 8 bits"),
    ("face_adapter", "Wan-Animate"),
    ("control_adapter", "a Fun-Control model"),
    ("ref_conv", "a Fun-Control model"),
    ("decoder.block.", "a text model with its decoder"),
    ("downsamples.0.downsamples", "the VAE of Wan2.2"),
    ("down_blocks.0.resnets", "another image or video VAE"),
    ("codec.", "a generator of this project"),
    ("visual.", "a CLIP image encoder"),
)
NOUNS: dict[Kind, str] = {
    "dit": "a Wan2.1 DiT",
    "vace": "a Wan2.1 DiT with its VACE adapter",
    "vace_adapter": "a VACE adapter alone",
    "vae": "the Wan2.1 VAE",
    "umt5": "the UMT5 text encoder",
}
PROBES: dict[str, tuple[tuple[str, int], ...]] = {  # size: tensors and axes that tell it, the first that is there
    "dim": (
        *(("blocks.0.scale_shift_table", 2), ("blocks.1.scale_shift_table", 2), ("vace_blocks.0.scale_shift_table", 2)),
        *(("vace_patch_embedding.bias", 0), ("encoder.final_layer_norm.weight", 0), ("shared.weight", 1)),
    ),
    "ffn": (
        *(("blocks.0.ffn.net.0.proj.weight", 0), ("blocks.0.ffn.net.0.proj.bias", 0)),
        *(("vace_blocks.0.ffn.net.0.proj.weight", 0), ("vace_blocks.0.ffn.net.0.proj.bias", 0)),
        *(("encoder.block.0.layer.1.DenseReluDense.wi_0.weight", 0),),
    ),
    "inputs": (("patch_embedding.weight", 1),),
    "patches": (("proj_out.bias", 0), ("proj_out.weight", 0)),
    "text": (("condition_embedder.text_embedder.linear_1.weight", 1),),
    "freq": (("condition_embedder.time_embedder.linear_1.weight", 1),),
    "context": (("vace_patch_embedding.weight", 1),),
    "base": (("encoder.conv_in.weight", 0), ("encoder.conv_in.bias", 0)),
    "latent": (("post_quant_conv.weight", 0), ("post_quant_conv.bias", 0)),
    **{f"width{3 - place}": ((f"decoder.up_blocks.{place}.resnets.0.conv1.weight", 0),) for place in range(4)},
    "vocabulary": (("shared.weight", 0),),
    "inner": (("encoder.block.0.layer.0.SelfAttention.q.weight", 0),),
    "heads": (("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", 1),),
    "buckets": (("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", 0),),
}


@dataclass(frozen=True)
class Match:
    """The kind, layout and sizes of a set of tensors. `names`: diffusers name -> name found; `symbols`: sizes by name,
    with `layers` and `adapters`, the numbers of blocks."""

    kind: Kind
    layout: Layout
    names: dict[str, str]
    shapes: dict[str, Shape]  # by diffusers name
    symbols: dict[str, int]

    def describe(self) -> str:
        """The model in words, for example "a Wan2.1 DiT (1.3B: 30 layers, width 1536, 16 input channels)"."""
        if self.kind in ("vae", "umt5"):
            return NOUNS[self.kind]
        phrases = {
            "layers": "{} layers",
            "adapters": "{} adapter blocks",
            "dim": "width {}",
            "inputs": "{} input channels",
        }
        facts = [text.format(self.symbols[name]) for name, text in phrases.items() if self.symbols.get(name)]
        size = WIDTHS.get(self.symbols["dim"])
        return f"{NOUNS[self.kind]} ({size + ': ' if size else ''}{', '.join(facts)})"


def detect(names: Iterable[str], where: str | Path = "weights") -> tuple[Kind, Layout]:
    """Kind and layout of a state, by its names alone. What DiffSynth and Wan-Video name alike counts as official.

    Raises InputError for anything that is not Wan2.1.
    """
    found = set(names)
    prefixed = bool(found) and all(name.startswith(PREFIX) for name in found)
    found = {name.removeprefix(PREFIX) for name in found} if prefixed else found
    hits = [hit for pattern, *hit in SIGNATURES if any(re.match(pattern, name) for name in found)]
    if not hits:
        raise InputError(where, f"tensors {_few(sorted(found))}{_stranger(found)}", "weights of Wan2.1")
    kind, diffusers = hits[0]
    if kind == "dit" and any(name.startswith("vace_") for name in found):
        kind = "vace"
    return kind, "diffusers" if diffusers else "diffsynth" if prefixed else "official"


def match(shapes: Mapping[str, Shape], where: str | Path = "weights") -> Match:
    """Names and shapes found against those of the real module.

    Raises InputError that names the first tensors that are missing, unknown or of another shape.
    """
    kind, layout = detect(shapes, where)
    prefix = PREFIX if layout == "diffsynth" else ""
    original = {name.removeprefix(prefix): name for name in shapes}
    names = {new: original[old] for new, old in _diffusers_names(kind, layout, original).items()}
    if kind == "umt5" and TIED in names:
        names.setdefault("shared.weight", names[TIED])
        if shapes[names[TIED]] != shapes[names["shared.weight"]]:
            found = f"{TIED} is {list(shapes[names[TIED]])}"
            raise InputError(where, found, f"the shape of shared.weight, {list(shapes[names['shared.weight']])}")
    renamed = set(names.values())
    names.pop(TIED, None)
    found = {name: tuple(shapes[old]) for name, old in names.items()}
    symbols = _symbols(kind, found)
    expected = _expected(kind, tuple(symbols.items()))
    missing = [name for name in expected if name not in found]
    unknown = [old for name, old in names.items() if name not in expected] + sorted(shapes.keys() - renamed)
    pairs = [(name, found[name], expected[name]) for name in expected if name in found]
    wrong = [f"{names[name]} is {list(shape)}, not {list(size)}" for name, shape, size in pairs if shape != size]
    if missing or unknown or wrong:
        problems = [f"{len(missing)} tensors missing ({_few(missing)} in diffusers' names)"] * bool(missing)
        problems += [f"{len(unknown)} unknown ({_few(unknown)})"] * bool(unknown)
        problems += [f"{len(wrong)} of another shape ({_few(wrong)})"] * bool(wrong)
        looks = _stranger(unknown) or f", looks like {NOUNS[kind]}"
        raise InputError(where, ", ".join(problems) + looks, f"exactly the tensors of {NOUNS[kind]}")
    return Match(kind, layout, {name: names[name] for name in expected}, expected, symbols)


def require_kind(found: Match, kinds: Sequence[Kind], where: str | Path) -> None:
    """Raises InputError unless the weights are of one of these kinds."""
    if found.kind not in kinds:
        raise InputError(where, found.describe(), " or ".join(NOUNS[kind] for kind in kinds))


def umt5_config(symbols: Mapping[str, int]) -> dict[str, Any]:
    """transformers' configuration of the text encoder: sizes from the weights, the rest as UMT5 was published."""
    return {
        "vocab_size": symbols["vocabulary"],
        "d_model": symbols["dim"],
        "d_kv": symbols["inner"] // symbols["heads"],
        "d_ff": symbols["ffn"],
        "num_layers": symbols["layers"],
        "num_heads": symbols["heads"],
        "relative_attention_num_buckets": symbols["buckets"],
        "relative_attention_max_distance": 128,
        "feed_forward_proj": "gated-gelu",
        "layer_norm_epsilon": 1e-6,
    }


def _diffusers_names(kind: Kind, layout: Layout, names: Iterable[str]) -> dict[str, str]:
    """diffusers name -> given name. Where two given names become one, only one of them is there."""
    from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers, convert_wan_vae_to_diffusers

    same = {name: name for name in names}
    if layout == "diffusers":
        return same
    if kind == "umt5":
        return {_text_name(name): name for name in same}
    convert = convert_wan_vae_to_diffusers if kind == "vae" else convert_wan_transformer_to_diffusers
    return convert(same)  # it moves values of any kind to new names


def _text_name(name: str) -> str:
    block = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    if block and block.group(2) in TEXT_BLOCK:
        return f"encoder.block.{block.group(1)}.{TEXT_BLOCK[block.group(2)]}"
    return TEXT_OUTSIDE.get(name, name)


def _symbols(kind: Kind, found: Mapping[str, Shape]) -> dict[str, int]:
    """Sizes by name, as far as the tensors tell them."""
    symbols = {
        "layers": _count(found, r"(?:encoder\.block|blocks)\.(\d+)\."),
        "adapters": _count(found, r"vace_blocks\.(\d+)\."),
    }
    for symbol, places in PROBES.items():
        sizes = [found[name][axis] for name, axis in places if len(found.get(name, ())) > axis]
        if sizes:
            symbols[symbol] = sizes[0]
    if "patches" in symbols:
        symbols["outputs"] = symbols.pop("patches") // 4
    if kind == "vae":
        symbols["blocks"] = max(_count(found, r"decoder\.up_blocks\.0\.resnets\.(\d+)\.") - 1, 1)
        for level, published in enumerate((1, 2, 4, 4)):
            base = symbols.get("base", 96)
            symbols[f"level{level}"] = max(symbols.pop(f"width{level}", published * base) // base, 1)
    return symbols


@lru_cache(maxsize=16)
def _expected(kind: Kind, sizes: tuple[tuple[str, int], ...]) -> dict[str, Shape]:
    """Names and shapes of the real module; sizes that are not known are those of the published models."""
    symbols = {"dim": 1536, "ffn": 8960, "inputs": 16, "outputs": 16, "text": 4096, "freq": 256, "context": 96}
    symbols |= {"base": 96, "latent": 16, "vocabulary": 256384, "inner": 4096, "heads": 64, "buckets": 32}
    symbols |= dict(sizes)
    with torch.device("meta"):
        module = _module(kind, symbols)
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items() if name != TIED}
    return {name: shape for name, shape in shapes.items() if kind != "vace_adapter" or name.startswith("vace_")}


def _module(kind: Kind, symbols: Mapping[str, int]) -> torch.nn.Module:
    if kind == "umt5":
        from transformers import UMT5Config, UMT5EncoderModel

        return UMT5EncoderModel(UMT5Config(**umt5_config(symbols)))
    from diffusers import AutoencoderKLWan, WanTransformer3DModel, WanVACETransformer3DModel

    if kind == "vae":
        factors = [symbols[f"level{level}"] for level in range(4)]
        return AutoencoderKLWan(
            symbols["base"], z_dim=symbols["latent"], dim_mult=factors, num_res_blocks=symbols["blocks"]
        )
    adapters = symbols["adapters"]
    sizes = {
        "num_attention_heads": 1,  # it changes no shape
        "attention_head_dim": symbols["dim"],
        "in_channels": symbols["inputs"],
        "out_channels": symbols["outputs"],
        "text_dim": symbols["text"],
        "freq_dim": symbols["freq"],
        "ffn_dim": symbols["ffn"],
        "num_layers": max(symbols["layers"], adapters),
    }
    if kind == "dit":
        return WanTransformer3DModel(**sizes)
    places = list(range(max(adapters, 1)))
    return WanVACETransformer3DModel(**sizes, vace_layers=places, vace_in_channels=symbols["context"])


def _count(names: Iterable[str], pattern: str) -> int:
    """Blocks 0 .. the highest index; not more than twice as many as there are, whatever a stray index says."""
    indices = {int(hit.group(1)) for name in names if (hit := re.match(pattern, name))}
    return min(max(indices) + 1, 2 * len(indices)) if indices else 0


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _stranger(names: Iterable[str]) -> str:
    kinds = (noun for part, noun in STRANGERS if any(part in name for name in names))
    return next((f", looks like {noun}" for noun in kinds), "")
