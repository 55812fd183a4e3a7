"""The tables of Wan2.1's VAE: official and diffusers names of every tensor, with shapes. See `layouts`.

Four levels; each halves the picture's sides but the last, and levels 1 and 2 of the encoder halve time. The official
encoder and decoder are flat lists, diffusers' decoder is grouped in levels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

LEVELS = 4
RES_BLOCK = (
    ("residual.0.gamma", "norm1.gamma", "{a} 1 1 1"),
    ("residual.2.*", "conv1.*", "{b} {a} 3 3 3"),
    ("residual.3.gamma", "norm2.gamma", "{b} 1 1 1"),
    ("residual.6.*", "conv2.*", "{b} {b} 3 3 3"),
)
SHORTCUT = ("shortcut.*", "conv_shortcut.*", "{b} {a} 1 1 1")
ATTENTION = (("norm.gamma", "{b} 1 1"), ("to_qkv.*", "{c} {b} 1 1"), ("proj.*", "{b} {b} 1 1"))
FIRST_NAMES = ("encoder.conv1.weight", "encoder.conv_in.weight")
LATENT_NAMES = ("conv2.weight", "post_quant_conv.weight")
DOWN_NAMES = (("encoder.downsamples.", "residual.2.weight"), ("encoder.down_blocks.", "conv1.weight"))
Row = tuple[str, str, str]


def vae_symbols(found: Mapping[str, tuple[int, ...]], column: int) -> dict[str, int]:
    """Sizes of a VAE from the shapes of its tensors: `base`, `latent`, `blocks` per level and `level0` .. `level3`, the
    factors of `base`. Sizes that cannot be told are those of the published VAE."""
    head, tail = DOWN_NAMES[column]
    base = found.get(FIRST_NAMES[column], (96,))[0]
    indices = {int(name.split(".")[2]) for name in found if name.startswith(head) and name.split(".")[2].isdigit()}
    blocks = max((len(indices) - (LEVELS - 1)) // LEVELS, 1)
    symbols = {"base": base, "latent": found.get(LATENT_NAMES[column], (16,))[0], "blocks": blocks}
    for level, published in enumerate((1, 2, 4, 4)):
        width = found.get(f"{head}{level * (blocks + 1)}.{tail}", (published * base,))[0]
        symbols[f"level{level}"] = max(width // base, 1)
    return symbols


def vae_rows(symbols: Mapping[str, int]) -> Iterator[Row]:
    """Rows (official, diffusers, shape) in the form of the tables in `layouts`."""
    widths = [symbols["base"] * symbols[f"level{level}"] for level in range(LEVELS)]
    latent, blocks = symbols["latent"], symbols["blocks"]
    yield from _encoder(symbols["base"], widths, latent, blocks)
    yield "conv1.*", "quant_conv.*", f"{2 * latent} {2 * latent} 1 1 1"
    yield "conv2.*", "post_quant_conv.*", f"{latent} {latent} 1 1 1"
    yield from _decoder(widths[::-1], latent, blocks)


def _encoder(base: int, widths: list[int], latent: int, blocks: int) -> Iterator[Row]:
    yield "encoder.conv1.*", "encoder.conv_in.*", f"{base} 3 3 3 3"
    previous, index = base, 0
    for level, width in enumerate(widths):
        for _ in range(blocks):
            yield from _res_block(f"encoder.downsamples.{index}.", f"encoder.down_blocks.{index}.", previous, width)
            previous, index = width, index + 1
        if level < LEVELS - 1:
            left, right = f"encoder.downsamples.{index}.", f"encoder.down_blocks.{index}."
            yield left + "resample.1.*", right + "resample.1.*", f"{width} {width} 3 3"
            if level > 0:
                yield left + "time_conv.*", right + "time_conv.*", f"{width} {width} 3 1 1"
            index += 1
    yield from _middle("encoder", widths[-1])
    yield from _ends("encoder", widths[-1], 2 * latent)


def _decoder(widths: list[int], latent: int, blocks: int) -> Iterator[Row]:
    yield "decoder.conv1.*", "decoder.conv_in.*", f"{widths[0]} {latent} 3 3 3"
    yield from _middle("decoder", widths[0])
    previous, index = widths[0], 0
    for level, width in enumerate(widths):
        for block in range(blocks + 1):
            right = f"decoder.up_blocks.{level}.resnets.{block}."
            yield from _res_block(f"decoder.upsamples.{index}.", right, previous, width)
            previous, index = width, index + 1
        if level < LEVELS - 1:
            left, right = f"decoder.upsamples.{index}.", f"decoder.up_blocks.{level}.upsamplers.0."
            yield left + "resample.1.*", right + "resample.1.*", f"{width // 2} {width} 3 3"
            if level < LEVELS - 2:
                yield left + "time_conv.*", right + "time_conv.*", f"{2 * width} {width} 3 1 1"
            previous, index = width // 2, index + 1
    yield from _ends("decoder", widths[-1], 3)


def _middle(side: str, width: int) -> Iterator[Row]:
    for official, diffusers in ((0, 0), (2, 1)):
        yield from _res_block(f"{side}.middle.{official}.", f"{side}.mid_block.resnets.{diffusers}.", width, width)
    for name, shape in ATTENTION:
        official, diffusers = f"{side}.middle.1.{name}", f"{side}.mid_block.attentions.0.{name}"
        yield official, diffusers, shape.format(b=width, c=3 * width)


def _ends(side: str, width: int, outputs: int) -> Iterator[Row]:
    yield f"{side}.head.0.gamma", f"{side}.norm_out.gamma", f"{width} 1 1 1"
    yield f"{side}.head.2.*", f"{side}.conv_out.*", f"{outputs} {width} 3 3 3"


def _res_block(left: str, right: str, inputs: int, outputs: int) -> Iterator[Row]:
    for official, diffusers, shape in (*RES_BLOCK, *([SHORTCUT] if inputs != outputs else [])):
        yield left + official, right + diffusers, shape.format(a=inputs, b=outputs)
