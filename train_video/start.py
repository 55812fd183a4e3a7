"""The generator a run starts from, and the copy that validation and export use."""

from __future__ import annotations

import copy
from pathlib import Path

from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator
from faithfusion.video.model import Generator, build_generator
from faithfusion.video.weights import load_generator
from train_video.config import TrainConfig


def starting_generator(config: TrainConfig) -> Generator:
    """Random weights or those of `init_from`, with the codec of `codec_from` if given.

    Raises InputError where a file does not have the configured architecture.
    """
    generator = build_generator(config.generator, make_generator(config.seed, "weights"))
    if config.init_from:
        loaded, _, _ = load_generator(Path(config.init_from))
        _require_same(config.init_from, loaded.config, config.generator)
        generator.load_state_dict(loaded.state_dict())
    if config.codec_from:
        loaded, _, _ = load_generator(Path(config.codec_from))
        _require_same(config.codec_from, loaded.config.codec, config.generator.codec)
        generator.codec.load_state_dict(loaded.codec.state_dict())
    return generator


def _require_same(path: str, found: object, expected: object) -> None:
    if found != expected:
        raise InputError(path, found, f"the architecture of the configuration, {expected}")


def twin_of(generator: Generator) -> Generator:
    """A copy with its own trained weights; what is frozen is shared, so a large backbone is not held twice.

    Call it after the method has set what is trained and before the engine may split the weights over processes.
    """
    shared = {id(parameter): parameter for parameter in generator.parameters() if not parameter.requires_grad}
    return copy.deepcopy(generator, shared).eval().requires_grad_(False)
