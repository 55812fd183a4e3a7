"""A generator by name: the one that is shipped, a weights file, or public weights described in a YAML file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import config_hash
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.editing.editor_config import SamplerConfig
from faithfusion.video.model.config import GeneratorConfig, PretrainedConfig
from faithfusion.video.model.generator import Generator
from faithfusion.video.weights.assemble import assemble_generator
from faithfusion.video.weights.generator_file import load_generator, stored_sampler
from faithfusion.video.weights.profiles import Profiles, read_profiles, weights_key
from faithfusion.video.weights.stored import shipped_file

SHIPPED_WEIGHTS = "wan-tiny"
CONFIG_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class OpenedGenerator:
    """A generator, its error profiles, the sampler it asks for, what tells it and its weights from all others, and its
    file; None for public weights."""

    generator: Generator
    profiles: Profiles
    sampler: SamplerConfig
    identity: str
    weights_key: str
    file: Path | None = None

    def sampler_for(self, wanted: SamplerConfig) -> SamplerConfig:
        """The configured sampler; without one that of the weights, for which their profile was measured."""
        return self.sampler if wanted == SamplerConfig() else wanted


def open_generator(weights: str, public: str = "") -> OpenedGenerator:
    """`weights`: "wan-tiny"; a file of a training run; or a YAML file of a `GeneratorConfig` that names public weights
    (configs/generator), whose error profile is the constant one, because nobody measured it. `public`: where the public
    weights below a training run's file lie here, if not where they lay in training.

    Raises InputError for a missing or foreign file and for weights that do not fit.
    """
    if Path(weights).suffix not in CONFIG_SUFFIXES:
        path = weights_path(weights)
        generator, profile, metadata = load_generator(path, PretrainedConfig(model=public) if public else None)
        sampler = stored_sampler(metadata, SamplerConfig())
        identity = hashlib.sha256(path.read_bytes()).hexdigest()
        return OpenedGenerator(generator, read_profiles(path, profile), sampler, identity, weights_key(path), path)
    config = parse_config(GeneratorConfig, ["--config", weights])
    if not config.pretrained.model:
        raise InputError(weights, "no pretrained.model", "a file, folder or hub id of public weights")
    generator = assemble_generator(config).eval().requires_grad_(False)
    prompt = Path(config.pretrained.prompt)
    told = hashlib.sha256(prompt.read_bytes()).hexdigest() if prompt.is_file() else ""
    identity = config_hash(config, told)
    return OpenedGenerator(generator, Profiles(ErrorProfile(), {}), SamplerConfig(), identity, identity)


def weights_path(name: str) -> Path:
    """A generator file, or the one shipped with the package."""
    return shipped_file("wan_tiny_head.safetensors") if name == SHIPPED_WEIGHTS else Path(name)
