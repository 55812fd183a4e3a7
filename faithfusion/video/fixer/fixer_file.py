"""A fixer in one safetensors file: weights, configuration, error profile and metadata, read back strictly.

A fixer on public weights leaves those where they are: its file holds what was trained, the prompt's embedding and the
fingerprints of the public weights, without which it cannot be read.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faithfusion.utils.plain import to_plain
from faithfusion.utils.seed import make_generator
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.fixer.build import build_fixer
from faithfusion.video.model.fixers.fixer import Fixer, FixerConfig
from faithfusion.video.weights.profiles import Profiles, read_profiles, weights_key
from faithfusion.video.weights.stored import (
    PROFILE_FIELDS,
    FileFormat,
    StoredDtype,
    load_exactly,
    read_stored,
    read_strictly,
    require_same_public,
    save_stored,
    shipped_file,
)

FORMAT = FileFormat("faithfusion.fixer", 1, "fixer weights")
SHIPPED_FIXER = "fixer-tiny"
FIRST_FIELDS = (  # fields of FixerConfig that every file ever written has
    *("num_views", "unshuffle", "channels", "layers_per_level", "attention", "near_depth_m"),
    *(f"conditioning.{name}" for name in ("noise_over_error", "token_quantile", "marked_rms", "certain_rms")),
)


@dataclass(frozen=True)
class OpenedFixer:
    """A fixer, its error profiles, what tells it and its weights from all others, and its file."""

    fixer: Fixer
    profiles: Profiles
    identity: str
    weights_key: str
    file: Path


def save_fixer(
    path: Path, fixer: Fixer, profile: ErrorProfile, metadata: dict[str, Any], *, dtype: StoredDtype = "bfloat16"
) -> None:
    """Writes what of the fixer is not public, see `save_stored`."""
    state = fixer.state_dict()
    facts = {"config": to_plain(fixer.config), "profile": to_plain(profile), "metadata": metadata}
    facts |= {"public": fixer.public} if fixer.public else {}
    save_stored(path, FORMAT, {name: state[name] for name in fixer.stored_names()}, facts, dtype)


def load_fixer(path: Path, pretrained: str = "") -> tuple[Fixer, ErrorProfile, dict[str, Any]]:
    """A fixer in evaluation mode on the CPU in float32, its error profile and metadata.

    `pretrained`: where the public weights of a fixer on such lie here, if not where the header says. Raises InputError
    for a missing or truncated file, another format, an unknown or incomplete configuration, tensors that are missing,
    unexpected or of the wrong shape, and public weights other than those that it was trained on.
    """
    header, tensors = read_stored(path, FORMAT)
    config = read_strictly(FixerConfig, header["config"], path, FIRST_FIELDS)
    profile = read_strictly(ErrorProfile, header["profile"], path, PROFILE_FIELDS)
    if pretrained and config.sd_turbo is not None:
        config = dataclasses.replace(config, sd_turbo=dataclasses.replace(config.sd_turbo, pretrained=pretrained))
    fixer = build_fixer(config, make_generator(0, "load fixer"), with_prompt=False)
    source = "" if config.sd_turbo is None else config.sd_turbo.pretrained
    sources = dict.fromkeys(sorted(fixer.public), source)
    require_same_public(path, json.loads(header.get("public", "{}")), fixer.public, sources)
    load_exactly(path, fixer, tensors, fixer.stored_names())
    return fixer.eval().requires_grad_(False), profile, json.loads(header["metadata"])


def open_fixer(name_or_path: str, pretrained: str = "") -> OpenedFixer:
    """`name_or_path`: "fixer-tiny", or a file of a training run; `pretrained` as in `load_fixer`. Raises InputError for
    anything else."""
    path = fixer_path(name_or_path)
    fixer, profile, _ = load_fixer(path, pretrained)
    identity = hashlib.sha256(path.read_bytes()).hexdigest()
    return OpenedFixer(fixer, read_profiles(path, profile), identity, weights_key(path), path)


def fixer_path(name_or_path: str) -> Path:
    """A fixer's file, or the one shipped with the package."""
    return shipped_file("fixer_tiny.safetensors") if name_or_path == SHIPPED_FIXER else Path(name_or_path)
