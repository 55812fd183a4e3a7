"""A generator in one safetensors file: weights, configuration, error profile and metadata, read back strictly.

A generator built on public weights (`GeneratorConfig.pretrained`) leaves those where they are: its file holds what was
trained and the prompt embedding, and the fingerprints of the public weights, without which it cannot be read. A head
may have a file of its own (`save_head`), which lies beside that of the generator below it and is opened in its place.

Configurations grow. A field that a file lacks because it is younger than the file has its default, so the default of a
new field must mean "as before"; one that has always been there must be there, and an unknown one is refused.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import to_plain
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.editing.editor_config import SamplerConfig
from faithfusion.video.model.config import GeneratorConfig, HeadConfig, PretrainedConfig
from faithfusion.video.model.fixers.head import PixelHead
from faithfusion.video.model.generator import Generator
from faithfusion.video.model.lora import is_lora_name
from faithfusion.video.weights.assemble import assemble_generator
from faithfusion.video.weights.pretrained import fingerprint
from faithfusion.video.weights.profiles import weights_key
from faithfusion.video.weights.stored import (
    PROFILE_FIELDS,
    FileFormat,
    StoredDtype,
    is_stored_as,
    load_exactly,
    read_header,
    read_stored,
    read_strictly,
    require_same_public,
    save_stored,
)

FORMAT = FileFormat("faithfusion.generator", 1, "generator weights")
HEAD_FORMAT = FileFormat("faithfusion.head", 1, "weights of a generator's head")
FIRST_FIELDS = {  # fields of GeneratorConfig that every file ever written has
    "codec": ("name", "latent_channels"),
    "codec.tiny": ("width_quarter", "width_eighth", "width_chunk", "blocks_quarter", "blocks_eighth", "blocks_chunk"),
    "codec.wan": ("base_dim", "dim_mult", "num_res_blocks"),
    "wan": ("num_layers", "num_heads", "head_dim", "ffn_dim", "text_dim", "freq_dim", "rope_max_len"),
    "branch": ("num_blocks",),
    "conditioning": ("noise_over_error", "token_quantile", "marked_rms"),
    "schedule": ("shift", "min_time"),
}
FIRST_SCALARS = ("prompt_tokens", "prior", "signal_std")
HEAD = "head."
HEAD_FIELDS = ("num_views", "channels", "reach")


def save_generator(
    path: Path,
    generator: Generator,
    profile: ErrorProfile,
    metadata: dict[str, Any],
    *,
    dtype: StoredDtype = "bfloat16",
) -> None:
    """Writes what of the generator is not public, see `save_stored`."""
    state = generator.state_dict()
    facts = {"config": to_plain(generator.config), "profile": to_plain(profile), "metadata": metadata}
    own = {name: state[name] for name in stored_names(generator.config, state)}
    save_stored(path, FORMAT, own, facts | {"public": public_fingerprints(generator)}, dtype)


def load_generator(
    path: Path, pretrained: PretrainedConfig | None = None
) -> tuple[Generator, ErrorProfile, dict[str, Any]]:
    """A generator in evaluation mode on the CPU, its error profile and metadata. It is float32, but for public weights,
    which have the precision of their files.

    `pretrained`: where the public weights lie here, if not where the header says. Raises InputError for a missing or
    truncated file, another format, an unknown or incomplete configuration, tensors that are missing, unexpected or of
    the wrong shape, and public weights other than those that it was trained on.
    """
    if is_stored_as(path, HEAD_FORMAT):
        return _load_with_head(path, pretrained)
    header, tensors = read_stored(path, FORMAT)
    always = [f"{part}.{name}" for part, names in FIRST_FIELDS.items() for name in names]
    config = read_strictly(GeneratorConfig, header["config"], path, [*always, *FIRST_SCALARS])
    if pretrained is not None:
        config = dataclasses.replace(config, pretrained=pretrained)
    profile = read_strictly(ErrorProfile, header["profile"], path, PROFILE_FIELDS)
    without_prompt = dataclasses.replace(config.pretrained, prompt="")  # the embedding is in this file
    generator = assemble_generator(dataclasses.replace(config, pretrained=without_prompt))
    generator.config = config
    sources = {"model": config.pretrained.model, "codec": config.pretrained.codec_source}
    require_same_public(path, json.loads(header.get("public", "{}")), public_fingerprints(generator), sources)
    expected = stored_names(config, generator.state_dict())
    load_exactly(path, generator, tensors, expected)
    return generator.eval().requires_grad_(False), profile, json.loads(header["metadata"])


def save_head(
    path: Path,
    generator: Generator,
    below: Path,
    profile: ErrorProfile,
    metadata: dict[str, Any],
    *,
    dtype: StoredDtype = "bfloat16",
) -> None:
    """Writes the head alone. `below`: the file of the generator, on whose clips the head was trained and beside which
    `path` will lie; `profile` and `metadata`: of the generator with its head."""
    state = {name: value for name, value in generator.state_dict().items() if name.startswith(HEAD)}
    facts = {"config": to_plain(generator.config.head), "profile": to_plain(profile), "metadata": metadata}
    save_stored(path, HEAD_FORMAT, state, facts | {"below": {"file": below.name, "key": weights_key(below)}}, dtype)


def _load_with_head(path: Path, pretrained: PretrainedConfig | None) -> tuple[Generator, ErrorProfile, dict[str, Any]]:
    header, tensors = read_stored(path, HEAD_FORMAT)
    config = read_strictly(HeadConfig, header["config"], path, HEAD_FIELDS)
    profile = read_strictly(ErrorProfile, header["profile"], path, PROFILE_FIELDS)
    below = json.loads(header.get("below", "{}"))
    file = path.with_name(Path(str(below.get("file", ""))).name)
    generator, _, _ = load_generator(file, pretrained)
    if weights_key(file) != below["key"]:
        raise InputError(file, "other weights", f"those on whose clips the head in {path.name} was trained")
    generator.config = dataclasses.replace(generator.config, head=config)
    generator.head = PixelHead(config, generator.config.conditioning)
    load_exactly(path, generator, tensors, [name for name in generator.state_dict() if name.startswith(HEAD)])
    return generator.eval().requires_grad_(False), profile, json.loads(header["metadata"])


def stored_names(config: GeneratorConfig, names: Iterable[str]) -> list[str]:
    """Names of the tensors that a generator's weights file holds: all but the public ones."""
    outside = ["backbone."] * bool(config.pretrained.model) + ["codec."] * bool(config.pretrained.codec_source)
    return [name for name in names if is_lora_name(name) or not name.startswith(tuple(outside))]


def public_fingerprints(generator: Generator) -> dict[str, str]:
    """Fingerprints of the public parts of a generator, "model" and "codec"; empty if it has none."""
    public, parts = generator.config.pretrained, {}
    if public.model:
        backbone = generator.backbone.state_dict()
        plain = {name.replace(".base_layer.", "."): value for name, value in backbone.items() if not is_lora_name(name)}
        parts["model"] = fingerprint(plain)
    if public.codec_source:
        parts["codec"] = fingerprint(generator.codec.state_dict())
    return parts


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of a generator's file alone. Raises InputError as `load_generator` for what is no such file."""
    kind = HEAD_FORMAT if is_stored_as(path, HEAD_FORMAT) else FORMAT
    return json.loads(read_header(path, kind)["metadata"])


def stored_sampler(metadata: dict[str, Any], otherwise: SamplerConfig) -> SamplerConfig:
    """The sampler with which the error profile of weights was measured (`sampler` in their metadata), which is that of
    their training for distilled ones; `otherwise` for files that are older."""
    found = metadata.get("sampler", {})
    changes = {name: found[name] for name in ("steps", "renoise", "temperature") if name in found}
    return dataclasses.replace(otherwise, **changes)
