"""Samples held-out windows with averaged weights. Numbers go to `validation.jsonl` and TensorBoard, clips to mp4."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from faithfusion.training.callbacks.base import Callback, Run, StepRecord
from faithfusion.training.callbacks.ema import Ema, copy_weights
from faithfusion.training.callbacks.log import append_line, keep_until
from faithfusion.training.config import TrainConfig
from faithfusion.training.data import WindowRef
from faithfusion.training.run_config import ValidationConfig
from faithfusion.training.start import Model, park, place_for_sampling
from faithfusion.types import Window
from faithfusion.utils.image_math import psnr_db
from faithfusion.utils.media import write_video
from faithfusion.utils.progress import say
from faithfusion.video.editing.composite import ErrorProfile, measure_profile, measured_errors
from faithfusion.video.editing.editor_config import FixerEditorConfig, SamplerConfig, VideoEditorConfig
from faithfusion.video.editing.encode import to_frames, to_video
from faithfusion.video.editing.video_editor import VideoEditor
from faithfusion.video.fixer.fixer_editor import FixerEditor
from faithfusion.video.model.fixers.fixer import Fixer
from faithfusion.video.model.generator import Generator
from faithfusion.video.weights.generator_file import read_metadata, stored_sampler

VALIDATION_FILE = "validation.jsonl"
FRAME_RATE_HZ = 10.0


@dataclass(frozen=True)
class Sampled:
    """A window, what the model makes of it before any composite, and its PSNR in dB."""

    window: Window
    result: Float[Tensor, "t h w 3"]
    values: dict[str, float]


class Validation(Callback):
    """Runs on the first process with `twin`, a copy of the model that gets the averaged weights."""

    def __init__(self, config: ValidationConfig, windows: Sequence[WindowRef], ema: Ema, twin: Model) -> None:
        self._config, self._windows, self._ema, self._twin = config, windows, ema, twin
        self._validated_step: int | None = None

    def start(self, run: Run) -> None:
        """Drops lines of steps that will be done again."""
        if run.is_first:
            keep_until(run.folder / VALIDATION_FILE, run.step)

    def step_done(self, run: Run, record: StepRecord) -> None:
        """Validates when due; the other processes wait at their next collective operation."""
        if self._config.every_steps > 0 and run.step % self._config.every_steps == 0:
            self._validate(run)

    def close(self, run: Run) -> None:
        """Validates the final weights, unless the last step just did."""
        if self._validated_step != run.step:
            self._validate(run)

    def _validate(self, run: Run) -> None:
        if not (run.is_first and self._windows):
            return
        self._validated_step = run.step
        start = time.monotonic()
        copy_weights(self._twin, self._ema.weights)
        device = run.engine.topology.device
        place_for_sampling(self._twin, run.config, device)
        samples = [self._sample(run, ref) for ref in evenly_spaced(self._windows, self._config.num_windows)]
        park(self._twin, device)
        values = {key: sum(sample.values[key] for sample in samples) / len(samples) for key in samples[0].values}
        append_line(run.folder / VALIDATION_FILE, {"step": run.step, **values})
        if run.config.log.tensorboard:
            with SummaryWriter(run.folder / "tensorboard") as writer:
                for name, value in values.items():
                    writer.add_scalar(f"validation/{name}", value, run.step)
        if self._config.videos:
            panels = [torch.cat([s.window.render, s.result, s.window.truth], dim=2) for s in samples]
            video = run.folder / "validation" / f"step_{run.step:08d}.mp4"
            write_video(video, torch.cat(panels), FRAME_RATE_HZ)
        text = ", ".join(f"{name} {value:.2f}" for name, value in values.items())
        say(f"validation after step {run.step} ({time.monotonic() - start:.0f} s): {text}")

    def _sample(self, run: Run, ref: WindowRef) -> Sampled:
        window = ref.read()
        if run.config.method == "codec":
            result = reconstruct(self._twin, window)
        else:
            result = generate(self._twin, window, sampler_of(run.config))
        return Sampled(window, result, compare(window, result, self._config.high_error_quantile))


def evenly_spaced(windows: Sequence[WindowRef], count: int) -> list[WindowRef]:
    """Picks at most `count` of `windows`, spread over all of them."""
    step = max(1.0, len(windows) / count)
    return [windows[int(number * step)] for number in range(min(count, len(windows)))]


def sampler_of(config: TrainConfig) -> SamplerConfig:
    """The sampler with which the weights of a run are validated and will be used; under a head, that which the finished
    generator's file asks for."""
    if config.method == "distribution_matching":
        return SamplerConfig(steps=config.distribution_matching.steps, renoise=True)
    sampler = SamplerConfig(steps=config.validation.sampler_steps, temperature=config.validation.sampler_temperature)
    if config.method == "head" and config.init_from:
        return stored_sampler(read_metadata(Path(config.init_from)), sampler)
    return sampler


def generate(model: Model, window: Window, sampler: SamplerConfig) -> Float[Tensor, "t h w 3"]:
    """The model's own frames, before the composite; a fixer has no sampler."""
    if isinstance(model, Fixer):
        return FixerEditor(model, FixerEditorConfig(), ErrorProfile()).generate(window)
    return VideoEditor(model, VideoEditorConfig(sampler=sampler), ErrorProfile()).generate(window)


@torch.no_grad()
def reconstruct(generator: Generator, window: Window) -> Float[Tensor, "t h w 3"]:
    """The true clip through the codec and back."""
    video = to_video(window.truth[None]).to(generator.prompt.device)
    return to_frames(generator.codec.decode(generator.codec.encode(video)))[0].to(window.render)


def compare(window: Window, result: Float[Tensor, "t h w 3"], quantile: float) -> dict[str, float]:
    """PSNR against the truth of render and result, over all pixels and where the render's expected error is high."""
    error = window.eig.expected_sq_error
    threshold = error.flatten()[:: max(1, error.numel() // 500_000)].quantile(quantile)
    high = error >= threshold
    return {
        "render_psnr_db": psnr_db(window.render, window.truth),
        "result_psnr_db": psnr_db(result, window.truth),
        "render_high_psnr_db": psnr_db(window.render, window.truth, high),
        "result_high_psnr_db": psnr_db(result, window.truth, high),
    }


def measured_profile(model: Model, windows: Sequence[WindowRef], sampler: SamplerConfig) -> ErrorProfile:
    """The model's squared colour error by the render's expected one, and how far both err alike."""
    clips = []
    for ref in windows:
        window = ref.read()
        edit = generate(model, window, sampler)
        clips.append(measured_errors(window.eig.expected_sq_error, window.render, edit, window.truth))
    return measure_profile(clips)
