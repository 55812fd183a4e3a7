"""One street of the ablation, as far as it does not depend on the row: fitted, calibrated, rendered and edited."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from faithfusion.data.trajectories import shifted_cameras
from faithfusion.distill.weights.context import SceneContext, WeightContext
from faithfusion.eig.calibrate import Calibration, calibration_from_plain
from faithfusion.eig.field import EigField
from faithfusion.evaluate.ablation.config import BLIND, AblationConfig
from faithfusion.evaluate.ablation.row_scores import make_target
from faithfusion.evaluate.metrics.registry import clip_scores
from faithfusion.evaluate.metrics.scored_clip import Target
from faithfusion.evaluate.result_files import write_json
from faithfusion.evaluate.street_scenes import FittedScene
from faithfusion.fit.supervised_view import ViewLoader
from faithfusion.pipeline.stage_files import (
    StageClip,
    edit_from_tensors,
    edit_tensors,
    load_stage_clip,
    save_stage_clip,
)
from faithfusion.pipeline.stages import calibrate, recalibrate, render, scene_context, settle
from faithfusion.scene.scene_file import load_scene, load_tensors, save_scene, save_tensors, scene_to
from faithfusion.types import GaussianScene, Window
from faithfusion.utils.device import choose_device
from faithfusion.video.editing.chain import ChainEditor
from faithfusion.video.editing.editor import EditedClip, Editor

OpenEditor = Callable[[str], Editor]
"""The editor of a name of `AblationConfig.edits`, as `AblationConfig.editor_of` says."""


@dataclass(frozen=True)
class Tools:
    """What every street needs and what is opened once: the editors by name, and the perceptual network if it
    is there."""

    editor: OpenEditor
    network: nn.Module | None


@dataclass(frozen=True)
class Street:
    """A fitted street between its stages. What is large is read when it is asked for."""

    config: AblationConfig
    fitted: FittedScene
    tools: Tools

    @property
    def known_path(self) -> Path:
        """The file of the calibrated, settled scene, from which every row starts."""
        return self.fitted.folder / "known.safetensors"

    def window_path(self, shift_m: float) -> Path:
        """Returns the file of render, EIG and recorded views at one shift, from the unrefined scene."""
        return self.fitted.folder / f"window_{shift_m:+.2f}m.safetensors"

    def edit_path(self, editors: str, shift_m: float) -> Path:
        """Returns the file of what an editor made of a window."""
        return self.fitted.folder / f"edit_{editors}_{shift_m:+.2f}m.safetensors"

    def score_path(self, name: str) -> Path:
        """Returns the file with the scores of a row or of an editor's clips."""
        return self.fitted.folder / f"scores_{name.replace('/', '_')}.json"

    def picture_path(self, seed: int, shift_m: float) -> Path:
        """Returns the file of one picture: before, EIG, video, distilled scene and truth."""
        return Path(self.config.out) / f"street_{seed:04d}_{shift_m:+g}m.png"

    @cached_property
    def known(self) -> tuple[GaussianScene, dict[str, Any]]:
        """The scene every row starts from, and what is stored beside it."""
        return load_scene(self.known_path, choose_device(self.config.refine.device))

    @cached_property
    def field(self) -> EigField:
        """What the recorded views tell of that scene."""
        scene, facts = self.known
        return assessed(self, scene, calibration_from_plain(facts["calibration"]))

    @cached_property
    def windows(self) -> Mapping[float, Window]:
        """The windows by shift."""
        return {shift_m: load_stage_clip(self.window_path(shift_m)).window for shift_m in self.config.shifts_m}

    @cached_property
    def targets(self) -> Mapping[float, Target]:
        """What clips are compared with, by shift."""
        rms = self.config.refine.editor.regenerate_rms
        at = (self.fitted.drive.clip, self.config.camera)
        return {
            shift_m: make_target(*at, shift_m, window, rms, self.tools.network)
            for shift_m, window in self.windows.items()
        }

    @cached_property
    def context(self) -> SceneContext:
        """What weights may know of the unrefined scene."""
        return context_of(self, self.known[0])

    @cached_property
    def contexts(self) -> Mapping[float, WeightContext]:
        """The same for its clips, by shift; a value is computed for the first row that asks."""
        return {at: WeightContext(self.context, with_truth(self, at, window)) for at, window in self.windows.items()}

    def edits(self, editors: str) -> Mapping[float, EditedClip]:
        """Returns what an editor made, by shift."""
        paths = {shift_m: self.edit_path(editors, shift_m) for shift_m in self.config.shifts_m}
        return {shift_m: edit_from_tensors(load_tensors(path)[0]) for shift_m, path in paths.items()}


def calibrate_street(street: Street) -> None:
    """Calibrates on the withheld stretches, then fits those too, as a refinement does."""
    config, drive = street.config.refine, street.fitted.drive
    scene = scene_to(street.fitted.scene, choose_device(config.device))
    calibration = calibrate(scene, drive, config.eig, posterior_stride=config.posterior_stride).calibration
    at = {"num_steps": config.settle_steps, "seed": config.seed, "device": config.device}
    scene = settle(scene, drive, config.distill, **at)
    save_scene(street.known_path, scene, {"clip": drive.clip.name, "calibration": calibration.to_plain()})


def render_windows(street: Street) -> None:
    """Writes what the unrefined scene shows at every shift."""
    for shift_m, window in windows_of(street, street.field, street.config.shifts_m):
        save_stage_clip(street.window_path(shift_m), StageClip(shift_name(shift_m), window))


def assessed(street: Street, scene: GaussianScene, calibration: Calibration) -> EigField:
    """Returns what the recorded views tell of a scene of this street."""
    config, stride = street.config.refine, street.config.refine.posterior_stride
    return recalibrate(scene, street.fitted.drive, calibration, config.eig, posterior_stride=stride)


def windows_of(street: Street, known: EigField, shifts_m: Sequence[float]) -> Iterator[tuple[float, Window]]:
    """Yields each shift with the clip of a scene there, with EIG and recorded views."""
    config, drive = street.config.refine, street.fitted.drive
    for shift_m in shifts_m:
        cameras = shifted_cameras(drive.clip, street.config.camera, shift_m)
        yield shift_m, render(known, drive, cameras, config.warp)


def with_truth(street: Street, shift_m: float, window: Window) -> Window:
    """Returns a window with the true clip, which no editor has seen but the weights that know it, if the street has
    pictures there."""
    target = street.targets.get(shift_m)
    return window if target is None else dataclasses.replace(window, truth=target.truth)


def context_of(street: Street, scene: GaussianScene) -> SceneContext:
    """Returns what weights may know of a scene of this street."""
    drive, stride = street.fitted.drive, street.config.refine.posterior_stride
    return scene_context(scene, drive, ViewLoader(drive.clip, drive.split.recorded), posterior_stride=stride)


def run_edits(street: Street, editors: str) -> None:
    """Edits each shift as a stage of its own, then scores what came out."""
    log, config = street.fitted.log, street.config.refine
    for shift_m in street.config.shifts_m:
        path = street.edit_path(editors, shift_m)

        def edit(shift_m: float = shift_m, path: Path = path) -> None:
            save_tensors(path, edit_tensors(_edit(street, editors, shift_m)), {})

        log.run(f"edit, {editors}, {shift_m:+g} m", street.config.editor_of(editors), [path], edit)
    path = street.score_path(editors)

    def score() -> None:
        scores = {
            shift_name(at): clip_scores(edit.frames, street.targets[at]) for at, edit in street.edits(editors).items()
        }
        write_json(path, scores)

    log.run(f"scores, {editors}", config.editor.regenerate_rms, [path], score)


def _edit(street: Street, editors: str, shift_m: float) -> EditedClip:
    """What the editors make of one window. A chain goes on from what its beginning has made, if that is there."""
    window, editor = street.windows[shift_m], street.tools.editor(editors)
    if editors.endswith(BLIND):
        error = window.eig.expected_sq_error
        eig = dataclasses.replace(window.eig, expected_sq_error=error.mean().expand_as(error))
        return editor.edit(dataclasses.replace(window, eig=eig))
    begun = street.config.begun_by(editors)
    if begun and isinstance(editor, ChainEditor) and street.edit_path(begun, shift_m).is_file():
        first = edit_from_tensors(load_tensors(street.edit_path(begun, shift_m))[0])
        return editor.go_on(first, window, len(street.config.editors[begun]))
    return editor.edit(window)


def shift_name(shift_m: float) -> str:
    """Returns the key of a shift in results."""
    return f"{shift_m:+.2f}"
