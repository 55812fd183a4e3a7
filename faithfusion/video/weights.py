"""A generator in one safetensors file: weights, configuration, error profile and metadata, read back strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from jsonargparse import ArgumentError, ArgumentParser
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from faithfusion.config import to_plain
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator
from faithfusion.video.composite import ErrorProfile
from faithfusion.video.model import Generator, GeneratorConfig, build_generator

FORMAT = "faithfusion.generator"
VERSION = 1
T = TypeVar("T")


def save_generator(
    path: Path,
    generator: Generator,
    profile: ErrorProfile,
    metadata: dict[str, Any],
    *,
    dtype: Literal["bfloat16", "float32"] = "bfloat16",
) -> None:
    """Writes the generator whole or not at all; vectors (norms, biases, statistics) stay in float32."""
    tensors = {name: _stored(value, dtype) for name, value in generator.state_dict().items()}
    header = {
        "format": FORMAT,
        "version": str(VERSION),
        "config": json.dumps(to_plain(generator.config)),
        "profile": json.dumps(to_plain(profile)),
        "metadata": json.dumps(metadata),
    }
    with atomic_file(path) as temporary:
        save_file(tensors, temporary, metadata=header)


def load_generator(path: Path) -> tuple[Generator, ErrorProfile, dict[str, Any]]:
    """A float32 generator in evaluation mode on the CPU, its error profile and metadata.

    Raises InputError for a missing or truncated file, another format, an unknown or incomplete configuration, or
    tensors that are missing, unexpected or of the wrong shape.
    """
    header, tensors = _read(path)
    config = _strict(GeneratorConfig, header["config"], path)
    profile = _strict(ErrorProfile, header["profile"], path)
    generator = build_generator(config, make_generator(0, "load"))
    try:
        generator.load_state_dict({name: value.float() for name, value in tensors.items()})
    except RuntimeError as error:
        found = " ".join(str(error).split())[:300]
        raise InputError(path, found, "exactly the tensors of the stored configuration") from None
    return generator.eval().requires_grad_(False), profile, json.loads(header["metadata"])


def _stored(value: Tensor, dtype: str) -> Tensor:
    keep = value.ndim < 2 or dtype == "float32"
    return value.detach().cpu().to(torch.float32 if keep else torch.bfloat16).contiguous()


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    if not path.is_file():
        raise InputError(path, "no such file", "generator weights (.safetensors)")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"cannot be read ({error})", "an intact safetensors file") from None
    if header.get("format") != FORMAT or header.get("version") != str(VERSION):
        found = f"format {header.get('format')}, version {header.get('version')}"
        raise InputError(path, found, f"{FORMAT}, version {VERSION}")
    missing = {"config", "profile", "metadata"} - header.keys()
    if missing:
        raise InputError(path, f"header lacks {', '.join(sorted(missing))}", "config, profile and metadata")
    return header, tensors


def _strict(config_class: type[T], text: str, path: Path) -> T:
    """JSON to a frozen dataclass; every field has to be there, none may be unknown."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(config_class, "value")
    try:
        plain = json.loads(text)
        value = parser.instantiate_classes(parser.parse_object({"value": plain})).value
    except (ArgumentError, ValueError, TypeError, KeyError) as error:
        found = " ".join(str(error).split())[:300]
        raise InputError(path, found, f"a valid {config_class.__name__} in the header") from None
    if to_plain(value) != plain:
        raise InputError(path, f"incomplete {config_class.__name__}", "every field of the configuration")
    return value
