"""Writes a checkpoint of a run as one file with everything a sampler needs.

The averaged weights of the newest checkpoint, or of step N, go to RUN/generator.safetensors (RUN/fixer.safetensors for
the method "fixer") or FILE, whose header holds configuration, path, shift, error profile, the sampler of its
measurement and where the weights came from. The end of a training run writes the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from faithfusion.config import parse_config
from faithfusion.training.callbacks.checkpoint import WEIGHTS_FILE, checkpoint_of_step, read_state, require_whole
from faithfusion.training.callbacks.ema import EMA_FILE, copy_weights
from faithfusion.training.callbacks.validation import evenly_spaced, measured_profile, sampler_of
from faithfusion.training.codec import measure_statistics
from faithfusion.training.config import TrainConfig
from faithfusion.training.data import WindowRef, training_windows, validation_windows
from faithfusion.training.export_config import ExportConfig
from faithfusion.training.run_config import DataConfig
from faithfusion.training.start import Model, place_for_sampling, starting_model
from faithfusion.utils.errors import InputError
from faithfusion.utils.plain import to_plain
from faithfusion.utils.progress import say
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.editing.editor_config import SamplerConfig
from faithfusion.video.editing.encode import to_video
from faithfusion.video.fixer.fixer_file import save_fixer
from faithfusion.video.model.config import ScheduleConfig
from faithfusion.video.model.fixers.fixer import Fixer
from faithfusion.video.model.generator import Generator
from faithfusion.video.model.paths import path_times
from faithfusion.video.weights.generator_file import load_generator, save_generator, save_head
from faithfusion.video.weights.profiles import weights_key
from faithfusion.video.weights.stored import rewrite_header

EXPORT_FILE = "generator.safetensors"
FIXER_FILE = "fixer.safetensors"


@dataclass(frozen=True)
class Trained:
    """Weights by parameter name and how they came to be: "ema" or "raw", after so many steps and minutes."""

    weights: dict[str, Tensor]
    kind: str
    steps: int
    minutes: float


def export_run(config: ExportConfig) -> None:
    """Reads a run's configuration and checkpoint and writes the file; of a finished file, see `measure_again`."""
    run = Path(config.run)
    if run.is_file():
        measure_again(config)
        return
    if not (run / "config.yaml").is_file():
        raise InputError(run, "no config.yaml" if run.is_dir() else "no such folder", "the folder of a training run")
    training = parse_config(TrainConfig, ["--config", str(run / "config.yaml")])
    checkpoint = checkpoint_of_step(run, config.step)
    state = read_state(checkpoint)
    require_whole(checkpoint, state["files"])
    weights = load_file(checkpoint / (EMA_FILE if config.weights == "ema" else WEIGHTS_FILE))
    model = starting_model(training).eval().requires_grad_(False)
    trained = Trained(weights, config.weights, state["step"], state["elapsed_s"] / 60.0)
    path = Path(config.out or run / export_file(training))
    if config.below:
        _check_below(Path(config.below), path, training)
    export(path, training, model, trained, _device(config), dtype=config.dtype, below=config.below)


def _check_below(below: Path, out: Path, training: TrainConfig) -> None:
    """InputError unless the head of this run can be written alone as `out`."""
    if training.method != "head":
        raise InputError("below", below, f"none: a run of method {training.method} has no head")
    if below.resolve().parent != out.resolve().parent:
        raise InputError("below", below, f"a file in the folder of {out}")
    if weights_key(below) != weights_key(Path(training.init_from)):
        raise InputError(below, "other weights", f"those of {training.init_from}, on whose clips the head was trained")


def _device(config: ExportConfig) -> torch.device:
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(automatic if config.device == "auto" else config.device)


def export_file(config: TrainConfig) -> str:
    """The name of the file that the end of a run writes into its folder."""
    return FIXER_FILE if config.method == "fixer" else EXPORT_FILE


def export(
    path: Path,
    config: TrainConfig,
    model: Model,
    trained: Trained,
    device: torch.device,
    *,
    dtype: Literal["bfloat16", "float32"] = "bfloat16",
    below: str = "",
) -> None:
    """Writes `model` with the trained weights, which it gets; called by the first process only. `below`: the file of
    the generator below a head, which is then written alone.

    A codec gets the statistics of its latents over training clips; a generator or fixer its error profile on held-out
    windows, or on training windows where nothing is held out.
    """
    copy_weights(model, trained.weights)
    place_for_sampling(model, config, device)
    held_out, trained_on = validation_windows(config.data), training_windows(config.data)
    profile = ErrorProfile()
    if config.method == "codec":
        refs = evenly_spaced(trained_on, config.codec.statistics_clips)
        measure_statistics(model.codec, (_true_clip(ref).to(device) for ref in refs))
    else:
        refs = evenly_spaced(held_out or trained_on, config.validation.profile_windows)
        profile = measured_profile(model, refs, sampler_of(config))
    facts = {} if isinstance(model, Fixer) else sampler_facts(sampler_of(config), config.generator.schedule)
    metadata = {
        "steps": trained.steps,
        "minutes": round(trained.minutes, 2),
        "weights": trained.kind,
        "training_windows": len(trained_on),
        "profile_measured_on": "held-out windows" if held_out else "training windows",
        **({"sampler": facts} if facts else {}),
        "faithfusion": version("faithfusion"),
        "training": without_folders(to_plain(config)),
    }
    if isinstance(model, Generator) and model.head is not None:
        model = starting_model(config)  # the generator below the head exactly as it was
    parameters = dict(model.named_parameters())
    for name, weight in trained.weights.items():  # sampling may have rounded them
        parameters[name].data = weight
    if isinstance(model, Generator) and below:
        save_head(path, model, Path(below), profile, metadata, dtype=dtype)
    else:
        save = save_fixer if isinstance(model, Fixer) else save_generator
        save(path, model, profile, metadata, dtype=dtype)
    say(f"wrote {path}")


def measure_again(config: ExportConfig) -> None:
    """Measures the error profile of a finished generator on `config.pairs` and writes the file with it and with the
    sampler of the measurement. Raises InputError without pairs, and for a file that is no generator."""
    path = Path(config.run)
    if not config.pairs:
        raise InputError("pairs", "none", f"a folder of pairs on which to measure the error profile of {path.name}")
    refs = evenly_spaced(validation_windows(DataConfig(validation=config.pairs)), config.profile_windows)
    generator, _, metadata = load_generator(path)
    profile = measured_profile(generator.to(_device(config)), refs, config.sampler)
    facts = sampler_facts(config.sampler, generator.config.schedule)
    entries = {"profile": to_plain(profile), "metadata": metadata | {"sampler": facts}}
    rewrite_header(path, entries, Path(config.out or path))
    say(f"wrote {config.out or path}")


def sampler_facts(sampler: SamplerConfig, schedule: ScheduleConfig) -> dict[str, Any]:
    """How weights are to be sampled: as their error profile was measured. Those of a distilled generator (`renoise`)
    name the times, too, which are part of what it learned: for a token of phi = 1, descending."""
    facts: dict[str, Any] = {"path": schedule.path, "shift": schedule.shift, "min_time": schedule.min_time}
    facts |= {"steps": sampler.steps, "temperature": sampler.temperature}
    if not sampler.renoise:
        return facts
    times = path_times(schedule.path, sampler.steps, schedule, 1.0)[:-1]
    return {**facts, "renoise": True, "times": times}


def without_folders(plain: Any) -> Any:
    """The same settings with every path cut to its last name: a weights file tells nothing about the machine."""
    if isinstance(plain, dict):
        return {key: without_folders(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [without_folders(value) for value in plain]
    return Path(plain).name if isinstance(plain, str) and "/" in plain else plain


def _true_clip(ref: WindowRef) -> Float[Tensor, "3 t h w"]:
    window = ref.read()
    return to_video((window.render if window.truth is None else window.truth)[None])[0]
