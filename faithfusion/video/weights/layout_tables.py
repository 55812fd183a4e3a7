"""The tables of Wan2.1's DiT, VACE adapter and UMT5 encoder: official and diffusers names of every tensor, with shapes.

Sources: Wan-Video/Wan2.1 `wan/modules`, diffusers `scripts/convert_wan_to_diffusers.py`. The VAE's: `layouts_vae`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from faithfusion.video.weights.layout_tables_vae import Row, vae_rows

Kind = Literal["dit", "vace", "vace_adapter", "vae", "umt5"]

# official name | diffusers name | shape; "x.*" stands for x.weight with this shape and x.bias with its first axis.
# Wan calls its norms in the order norm1, norm3, norm2; diffusers in the order norm1, norm2, norm3. Of them only the
# second one called has weights.
BLOCK = """
modulation               scale_shift_table      1 6 dim
self_attn.q.*            attn1.to_q.*           dim dim
self_attn.k.*            attn1.to_k.*           dim dim
self_attn.v.*            attn1.to_v.*           dim dim
self_attn.o.*            attn1.to_out.0.*       dim dim
self_attn.norm_q.weight  attn1.norm_q.weight    dim
self_attn.norm_k.weight  attn1.norm_k.weight    dim
cross_attn.q.*           attn2.to_q.*           dim dim
cross_attn.k.*           attn2.to_k.*           dim dim
cross_attn.v.*           attn2.to_v.*           dim dim
cross_attn.o.*           attn2.to_out.0.*       dim dim
cross_attn.norm_q.weight attn2.norm_q.weight    dim
cross_attn.norm_k.weight attn2.norm_k.weight    dim
norm3.*                  norm2.*                dim
ffn.0.*                  ffn.net.0.proj.*       ffn dim
ffn.2.*                  ffn.net.2.*            dim ffn
"""
OUTSIDE = """
patch_embedding.*        patch_embedding.*                                dim inputs 1 2 2
time_embedding.0.*       condition_embedder.time_embedder.linear_1.*      dim freq
time_embedding.2.*       condition_embedder.time_embedder.linear_2.*      dim dim
time_projection.1.*      condition_embedder.time_proj.*                   6*dim dim
text_embedding.0.*       condition_embedder.text_embedder.linear_1.*      dim text
text_embedding.2.*       condition_embedder.text_embedder.linear_2.*      dim dim
head.modulation          scale_shift_table                                1 2 dim
head.head.*              proj_out.*                                       4*outputs dim
"""
ADAPTER = "vace_patch_embedding.* vace_patch_embedding.* dim context 1 2 2"
BEFORE = "before_proj.* proj_in.* dim dim"  # of the first adapter block
AFTER = "after_proj.* proj_out.* dim dim"  # of every adapter block
TEXT_BLOCK = """
norm1.weight                    layer.0.layer_norm.weight                             dim
attn.q.weight                   layer.0.SelfAttention.q.weight                        inner dim
attn.k.weight                   layer.0.SelfAttention.k.weight                        inner dim
attn.v.weight                   layer.0.SelfAttention.v.weight                        inner dim
attn.o.weight                   layer.0.SelfAttention.o.weight                        dim inner
pos_embedding.embedding.weight  layer.0.SelfAttention.relative_attention_bias.weight  buckets heads
norm2.weight                    layer.1.layer_norm.weight                             dim
ffn.gate.0.weight               layer.1.DenseReluDense.wi_0.weight                    ffn dim
ffn.fc1.weight                  layer.1.DenseReluDense.wi_1.weight                    ffn dim
ffn.fc2.weight                  layer.1.DenseReluDense.wo.weight                      dim ffn
"""
TEXT_OUTSIDE = """
token_embedding.weight          shared.weight                                         vocabulary dim
norm.weight                     encoder.final_layer_norm.weight                       dim
"""
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


def kind_rows(kind: Kind, symbols: Mapping[str, int]) -> Iterator[Row]:
    """The table of a whole model with `layers` and `adapters` blocks (for the VAE: of `layouts_vae.vae_symbols`)."""
    return _expand(_kind_rows(kind, symbols))


def _kind_rows(kind: Kind, counts: Mapping[str, int]) -> Iterator[Row]:
    if kind == "vae":
        yield from vae_rows(counts)
    elif kind == "umt5":
        yield from _table(TEXT_OUTSIDE)
        for index in range(counts["layers"]):
            yield from _table(TEXT_BLOCK, f"blocks.{index}.", f"encoder.block.{index}.")
    if kind in ("dit", "vace"):
        yield from _table(OUTSIDE)
        for index in range(counts["layers"]):
            yield from _table(BLOCK, f"blocks.{index}.")
    if kind in ("vace", "vace_adapter"):
        yield from _table(ADAPTER)
        for index in range(counts["adapters"]):
            yield from _table(BLOCK + AFTER + ("\n" + BEFORE if index == 0 else ""), f"vace_blocks.{index}.")


def _table(text: str, official: str = "", diffusers: str | None = None) -> Iterator[Row]:
    for line in text.strip().splitlines():
        left, right, shape = line.split(maxsplit=2)
        yield official + left, (official if diffusers is None else diffusers) + right, shape


def _expand(rows: Iterator[Row]) -> Iterator[Row]:
    """ "x.*" to x.weight and x.bias."""
    for left, right, shape in rows:
        if left.endswith("*"):
            yield left[:-1] + "weight", right[:-1] + "weight", shape
            yield left[:-1] + "bias", right[:-1] + "bias", shape.split()[0]
        else:
            yield left, right, shape
