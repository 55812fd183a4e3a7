"""One street of the ablation: made, fitted and edited once, distilled and scored once per row."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from faithfusion.data.trajectories import shifted_cameras
from faithfusion.distill.assess import assess_scene, update_assessment
from faithfusion.distill.loop import distill, render_clip, settle
from faithfusion.distill.novel import distilled_share, novel_depth, novel_views
from faithfusion.distill.refine_config import DistillConfig, MovingObjects
from faithfusion.distill.stage_files import StageClip, edit_from_tensors, edit_tensors, load_stage_clip, save_stage_clip
from faithfusion.distill.views import SupervisedView, ViewLoader
from faithfusion.distill.warp import warp_source
from faithfusion.distill.weights import RELATIVE, edit_weight, published_maps, recorded_sq_error
from faithfusion.distill.window import window_of
from faithfusion.eig.calibrate import calibration_from_plain
from faithfusion.evaluate.ablation_config import BLIND_FIXER, NO_REFINEMENT, AblationConfig, Row, with_street
from faithfusion.evaluate.ablation_files import read_json, write_json
from faithfusion.evaluate.ablation_scores import Target, make_target, score_clip, score_lane
from faithfusion.evaluate.eig_scenes import FittedScene, KnownTruthConfig, fitted_street
from faithfusion.evaluate.panels import EIG_RANGE_NATS, colorize_eig, side_by_side, with_color_bar
from faithfusion.scene.checkpoint import load_scene, load_tensors, save_scene, save_tensors
from faithfusion.types import Camera, GaussianScene, Window
from faithfusion.utils.media import write_image
from faithfusion.video.chain import continued
from faithfusion.video.editor import EditedClip, Editor

Clip = Float[Tensor, "t h w 3"]
OpenEditor = Callable[[str], Editor]
"""The editor of a name of `AblationConfig.editors`."""


@dataclass(frozen=True)
class Tools:
    """What every street needs and is opened once: the editors by name, and the perceptual network if it is there."""

    editor: OpenEditor
    network: nn.Module | None


@dataclass(frozen=True)
class Street:
    """A fitted street between its stages; what is large is read when it is asked for."""

    config: AblationConfig
    fitted: FittedScene
    tools: Tools

    @property
    def known_path(self) -> Path:
        """The calibrated, settled scene, from which every row starts."""
        return self.fitted.folder / "known.safetensors"

    def window_path(self, shift_m: float) -> Path:
        """Render, EIG and recorded views at one shift, from the unrefined scene."""
        return self.fitted.folder / f"window_{shift_m:+.2f}m.safetensors"

    @property
    def published_path(self) -> Path:
        """The released code's gain of the windows."""
        return self.fitted.folder / "published.safetensors"

    def edit_path(self, editors: str, shift_m: float) -> Path:
        """What an editor made of a window."""
        return self.fitted.folder / f"edit_{editors}_{shift_m:+.2f}m.safetensors"

    def score_path(self, name: str) -> Path:
        """Scores of a row or of an editor's clips."""
        return self.fitted.folder / f"scores_{name.replace('/', '_')}.json"

    def picture_path(self, seed: int, shift_m: float) -> Path:
        """Before, EIG, video, distilled, truth."""
        return Path(self.config.out) / f"street_{seed:04d}_{shift_m:+g}m.png"

    @cached_property
    def known(self) -> tuple[GaussianScene, dict[str, Any]]:
        """The scene every row starts from, and what is stored beside it."""
        return load_scene(self.known_path)

    @cached_property
    def cameras(self) -> Mapping[float, Sequence[Camera]]:
        """The driven camera at every time stamp, by shift."""
        clip, name = self.fitted.clip, self.config.camera
        return {shift_m: shifted_cameras(clip, name, shift_m) for shift_m in self.config.shifts_m}

    @cached_property
    def windows(self) -> Mapping[float, Window]:
        """By shift."""
        return {shift_m: load_stage_clip(self.window_path(shift_m)).window for shift_m in self.config.shifts_m}

    @cached_property
    def targets(self) -> Mapping[float, Target]:
        """By shift."""
        rms = self.config.refine.editor.regenerate_rms
        at = (self.fitted.clip, self.config.camera)
        return {
            shift_m: make_target(*at, shift_m, window, rms, self.tools.network, self.cameras[shift_m])
            for shift_m, window in self.windows.items()
        }

    @cached_property
    def _all_but_moving(self) -> Mapping[float, Tensor]:
        return {shift_m: distilled_share(self.known[0], at, "keep") for shift_m, at in self.cameras.items()}

    def distilled(self, moving_objects: MovingObjects) -> Mapping[float, Tensor]:
        """What of every pixel the edits may change, by shift."""
        return self._all_but_moving if moving_objects == "keep" else dict.fromkeys(self.cameras, torch.ones(()))

    @cached_property
    def recorded_sq_error(self) -> float:
        """What the unrefined scene leaves in the recorded images."""
        return recorded_sq_error(self.known[0], ViewLoader(self.fitted.clip, self.fitted.split.recorded))

    def edits(self, editors: str) -> Mapping[float, EditedClip]:
        """What an editor made, by shift."""
        paths = {shift_m: self.edit_path(editors, shift_m) for shift_m in self.config.shifts_m}
        return {shift_m: edit_from_tensors(load_tensors(path)[0]) for shift_m, path in paths.items()}


def num_steps(config: AblationConfig) -> int:
    """Steps of `street_steps`."""
    return 3 + ("published" in config.weights) + len(config.edits) + len(config.rows)


def street_steps(config: AblationConfig, seed: int, tools: Tools) -> Iterator[str]:
    """Makes one street's results in steps, each named when it is done; finished ones are skipped after a kill."""
    refine = config.refine
    known = KnownTruthConfig(
        out=str(Path(config.out) / "work"),
        shifts_m=config.shifts_m,
        frame_stride=1,
        street=with_street(config, seed),
        split=refine.split,
        fit=refine.fit,
        eig=refine.eig,
    )
    street = Street(config, fitted_street(known, seed), tools)
    log, paths = street.fitted.log, [street.window_path(shift_m) for shift_m in config.shifts_m]
    yield "fit"
    settling = (refine.settle_steps, refine.distill.optimise, refine.distill.densify, refine.seed)
    inputs = (refine.eig, refine.posterior_stride, settling)
    log.run("calibrate", inputs, [street.known_path], lambda: _calibrate(street))
    yield "calibrate"
    log.run("windows", (refine.warp, config.camera, config.shifts_m), paths, lambda: _render_windows(street))
    yield "windows"
    if "published" in config.weights:
        log.run("published gain", refine.posterior_stride, [street.published_path], lambda: _map_published(street))
        yield "published gain"
    for editors in config.edits:
        _run_edits(street, editors)
        yield f"edit, {editors}"
    for row in config.rows:
        shown = row == config.shown_row
        pictures = [street.picture_path(seed, shift_m) for shift_m in config.shifts_m] if shown else []
        outputs = [street.score_path(row.key), *pictures]
        log.run(
            row.key, config.distill_of(row), outputs, lambda row=row, paths=pictures: _score_row(street, row, paths)
        )
        yield row.key


def collect(config: AblationConfig, seed: int, folder: Path, seconds: Mapping[str, float]) -> dict[str, Any]:
    """The finished street's scores, {"rows": {row: {"video" | "scene": {shift: scores}, "lane": scores}}}."""
    rows = {row.key: read_json(folder / f"scores_{row.key.replace('/', '_')}.json") for row in config.rows}
    return {"seed": seed, "rows": rows, "seconds": dict(seconds)}


def _calibrate(street: Street) -> None:
    """As `distill.run` does it: calibrates on the withheld stretches, then fits those too."""
    config, clip, split = street.config.refine, street.fitted.clip, street.fitted.split
    informing = split.train[:: config.posterior_stride]
    calibration = assess_scene(street.fitted.scene, clip, informing, split.calibration, config.eig).calibration
    scene = settle(street.fitted.scene, clip, split, config)
    save_scene(street.known_path, scene, {"clip": clip.name, "calibration": calibration.to_plain()})


def _render_windows(street: Street) -> None:
    config, clip, split = street.config.refine, street.fitted.clip, street.fitted.split
    scene, metadata = street.known
    calibration = calibration_from_plain(metadata["calibration"])
    informing = split.recorded[:: config.posterior_stride]
    assessment = update_assessment(scene, clip, informing, calibration, config.eig)
    recorded = warp_source(scene, clip, split.recorded, config.fit.initialise, config.warp)
    for shift_m, cameras in street.cameras.items():
        window = window_of(scene, assessment, clip, cameras, recorded, config.eig)
        save_stage_clip(street.window_path(shift_m), StageClip(shift_name(shift_m), window))


def _map_published(street: Street) -> None:
    """The published gain of every window's pixels, from what informed the scene."""
    config, clip = street.config.refine, street.fitted.clip
    informing = street.fitted.split.recorded[:: config.posterior_stride]
    cameras = [camera for shift_m in street.config.shifts_m for camera in street.cameras[shift_m]]
    times = list(range(clip.num_frames)) * len(street.config.shifts_m)
    maps = published_maps(street.known[0], clip, informing, cameras, times).split(clip.num_frames)
    save_tensors(street.published_path, dict(zip(map(shift_name, street.config.shifts_m), maps, strict=True)), {})


def _run_edits(street: Street, editors: str) -> None:
    """Edits each shift as a stage of its own, then scores what came out."""
    log, config = street.fitted.log, street.config.refine
    for shift_m in street.config.shifts_m:
        path = street.edit_path(editors, shift_m)

        def edit(shift_m: float = shift_m, path: Path = path) -> None:
            save_tensors(path, edit_tensors(_edit(street, editors, shift_m)), {})

        log.run(f"edit, {editors}, {shift_m:+g} m", config.editor, [path], edit)
    path = street.score_path(editors)

    def score() -> None:
        scores = {
            shift_name(at): score_clip(edit.frames, street.targets[at]) for at, edit in street.edits(editors).items()
        }
        write_json(path, scores)

    log.run(f"scores, {editors}", config.editor.regenerate_rms, [path], score)


def _edit(street: Street, editors: str, shift_m: float) -> EditedClip:
    """What the editors make of one window. "both" goes on from what "video" has made, if that is there."""
    window, open_editor, video = street.windows[shift_m], street.tools.editor, street.edit_path("video", shift_m)
    if editors == BLIND_FIXER:
        error = window.eig.expected_sq_error
        eig = dataclasses.replace(window.eig, expected_sq_error=error.mean().expand_as(error))
        return open_editor("fixer").edit(dataclasses.replace(window, eig=eig))
    if editors == "both" and video.is_file():
        return continued(edit_from_tensors(load_tensors(video)[0]), window, open_editor("fixer"))
    return open_editor(editors).edit(window)


def _score_row(street: Street, row: Row, pictures: Sequence[Path]) -> None:
    """Distils one row from the unrefined scene with the edits of all shifts at once, and scores it."""
    scene, clip = street.known[0], street.fitted.clip
    split, distilling = street.fitted.split, street.config.distill_of(row)
    config = dataclasses.replace(street.config.refine, distill=distilling)
    renders = {shift_m: window.render for shift_m, window in street.windows.items()}
    if row != NO_REFINEMENT:
        # without a path of its own: every row draws the same views in the same order
        scene = distill(scene, ViewLoader(clip, split.recorded), _novel(street, row, distilling), config, None)
        renders = {shift_m: render_clip(scene, cameras) for shift_m, cameras in street.cameras.items()}
    scores = {shift_name(shift_m): score_clip(render, street.targets[shift_m]) for shift_m, render in renders.items()}
    if pictures:
        _draw(street, row, renders, pictures)
    video = scores if row == NO_REFINEMENT else read_json(street.score_path(row.editors))
    lane = score_lane(scene, split.held_out, street.config.camera)
    write_json(street.score_path(row.key), {"video": video, "scene": scores, "lane": lane})


def _novel(street: Street, row: Row, config: DistillConfig) -> list[SupervisedView]:
    """The edited clips of all shifts as supervision with the row's weights."""
    published = load_tensors(street.published_path)[0] if row.weight == "published" else {}
    recorded = street.recorded_sq_error if row.weight in RELATIVE else None
    views = []
    for shift_m, edited in street.edits(row.editors).items():
        needed = {"recorded_sq_error": recorded, "published": published.get(shift_name(shift_m))}
        weight = edit_weight(row.weight, street.windows[shift_m], edited, **needed)
        cameras, window = street.cameras[shift_m], street.windows[shift_m]
        depth = novel_depth(config.novel_depth, street.fitted.clip, cameras, window)
        share = street.distilled(config.moving_objects)[shift_m]
        views += novel_views(cameras, edited, weight * share, depth, config)
    return views


def _draw(street: Street, row: Row, renders: Mapping[float, Clip], paths: Sequence[Path]) -> None:
    """One strip per shift of the frame in the middle: before, EIG, repaired video, distilled scene, truth."""
    edits = street.edits(row.editors)
    for path, (shift_m, render) in zip(paths, renders.items(), strict=True):
        window, middle = street.windows[shift_m], slice(len(render) // 2, len(render) // 2 + 1)
        eig = colorize_eig(window.eig.eig_nats[middle], EIG_RANGE_NATS)
        panels = {
            "before": window.render[middle],
            "EIG": with_color_bar(eig, EIG_RANGE_NATS),
            "repaired video": edits[shift_m].frames[middle],
            "distilled scene": render[middle],
            "truth": street.targets[shift_m].truth[middle],
        }
        write_image(path, side_by_side(panels, columns=len(panels))[0])


def shift_name(shift_m: float) -> str:
    """Key of a shift in results."""
    return f"{shift_m:+.2f}"
