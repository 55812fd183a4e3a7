"""The averaged weights as one file that `faithfusion.video.weights` loads, statistics and error profile measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from faithfusion.config import to_plain
from faithfusion.utils.progress import say
from faithfusion.video.composite import ErrorProfile
from faithfusion.video.encode import to_video
from faithfusion.video.model import Generator
from faithfusion.video.weights import save_generator
from train_video.callbacks.base import Run
from train_video.callbacks.ema import copy_weights
from train_video.callbacks.validation import evenly_spaced, measured_profile
from train_video.codec import measure_statistics
from train_video.data import WindowRef, training_windows, validation_windows

EXPORT_FILE = "generator.safetensors"


def export(run: Run, twin: Generator, weights: dict[str, Tensor]) -> Path:
    """Writes `generator.safetensors` with `weights` (by parameter name) in `twin`; called by the first process only.

    A codec gets the statistics of its latents over training clips; a generator its error profile on the held-out
    windows, or on training windows where nothing is held out.
    """
    copy_weights(twin, weights)
    held_out, trained_on = validation_windows(run.config.data), training_windows(run.config.data)
    profile = ErrorProfile()
    if run.config.method == "codec":
        refs = evenly_spaced(trained_on, run.config.codec.statistics_clips)
        measure_statistics(twin.codec, (_true_clip(ref).to(twin.prompt.device) for ref in refs))
    else:
        profile = measured_profile(twin, held_out or trained_on, run.config.validation)
    metadata = {
        "steps": run.step,
        "minutes": round(run.elapsed_s / 60.0, 2),
        "training_windows": len(trained_on),
        "profile_measured_on": "held-out windows" if held_out else "training windows",
        "training": without_folders(to_plain(run.config)),
    }
    path = run.folder / EXPORT_FILE
    save_generator(path, twin, profile, metadata)
    say(f"wrote {path}")
    return path


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
