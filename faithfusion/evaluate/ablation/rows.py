"""One row of the ablation on one street: distilled from the unrefined scene, scored against the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from faithfusion.distill.distil import distill
from faithfusion.distill.supervision import supervision
from faithfusion.distill.weights.context import WeightContext
from faithfusion.eig.field import EigField
from faithfusion.evaluate.ablation.config import NO_REFINEMENT, Row
from faithfusion.evaluate.ablation.row_scores import score_lane
from faithfusion.evaluate.ablation.street import Street, assessed, context_of, shift_name, windows_of, with_truth
from faithfusion.evaluate.metrics.registry import clip_scores
from faithfusion.evaluate.report.strip import write_strip
from faithfusion.evaluate.result_files import read_json, write_json
from faithfusion.fit.supervised_view import SupervisedView, ViewLoader
from faithfusion.pipeline.stages import carry_error
from faithfusion.render.render_view import render_clip
from faithfusion.types import GaussianScene, Window
from faithfusion.video.editing.editor import EditedClip

Clip = Float[Tensor, "t h w 3"]
Clips = dict[float, tuple[Window, EditedClip]]
"""By shift, what a scene shows there and what editors made of it."""


def score_row(street: Street, row: Row, pictures: Sequence[Path]) -> None:
    """Refines the scene as the row says, and writes its scores; with `pictures`, one strip per shift.

    The scored video is what the row's editors made of the unrefined scene.
    """
    scene = street.known[0]
    renders = {shift_m: window.render for shift_m, window in street.windows.items()}
    if row != NO_REFINEMENT:
        scene = refined_scene(street, row)
        renders = {shift_m: render_clip(scene, window.cameras) for shift_m, window in street.windows.items()}
    scores = {shift_name(shift_m): clip_scores(render, street.targets[shift_m]) for shift_m, render in renders.items()}
    if pictures:
        _draw(street, row, renders, pictures)
    video = scores if row == NO_REFINEMENT else read_json(street.score_path(row.editors))
    lane = score_lane(scene, street.fitted.drive.split.held_out, street.config.camera)
    write_json(street.score_path(row.key), {"video": video, "scene": scores, "lane": lane})


def refined_scene(street: Street, row: Row) -> GaussianScene:
    """Returns the scene after the row's distillations, each from the edited clips of all shifts of its stage
    together."""
    config, drive, refine = street.config.distill_of(row), street.fitted.drive, street.config.refine
    recorded, ground = ViewLoader(drive.clip, drive.split.recorded), drive.lidar.ground(drive.split.recorded)
    scene, known, views, clips = street.known[0], street.field, {}, {}
    at = {"ground": ground, "seed": refine.seed, "device": refine.device}
    stages = street.config.stages_of(row)
    for number, stage in enumerate(stages, 1):
        new = _clips(street, row, known, stage.anew_m, is_unrefined=number == 1)
        views |= _supervision(street, row, known, new, is_unrefined=number == 1)
        clips |= new
        novel = [view for shift_m in stage.shifts_m for view in views[shift_m]]
        # without a path of its own: every row draws the same views in the same order
        scene = distill(scene, recorded, novel, config, known=known, **at)
        if number < len(stages):
            known = assessed(street, scene, known.calibration)
            known = carry_error(known, drive, [clips[shift_m] for shift_m in stage.shifts_m], config.moving_objects)
    return scene


def _clips(street: Street, row: Row, known: EigField, shifts_m: Sequence[float], *, is_unrefined: bool) -> Clips:
    """The clips of a scene at some shifts and what the row's editors make of them; those of the unrefined scene are
    stored."""
    stored_m = [at for at in shifts_m if is_unrefined and at in street.config.shifts_m]
    new_m = [at for at in shifts_m if at not in stored_m]
    return _stored_clips(street, row, stored_m) | _new_clips(street, row, known, new_m)


def _supervision(
    street: Street, row: Row, known: EigField, clips: Clips, *, is_unrefined: bool
) -> dict[float, list[SupervisedView]]:
    """The edited clips of a scene by shift with the row's weights."""
    config = street.config.distill_of(row)
    of_scene = street.context if is_unrefined else context_of(street, known.scene)
    views = {}
    for at, (window, edited) in clips.items():
        is_stored = is_unrefined and at in street.contexts
        context = street.contexts[at] if is_stored else WeightContext(of_scene, with_truth(street, at, window))
        views[at] = supervision(context, edited, config)
    return views


def _stored_clips(street: Street, row: Row, shifts_m: Sequence[float]) -> Clips:
    """What the unrefined scene shows and what the row's editors made of it."""
    edits = street.edits(row.editors)
    return {shift_m: (street.windows[shift_m], edits[shift_m]) for shift_m in shifts_m}


def _new_clips(street: Street, row: Row, known: EigField, shifts_m: Sequence[float]) -> Clips:
    """What another scene shows, or the unrefined one elsewhere, edited."""
    if not shifts_m:
        return {}
    editor = street.tools.editor(row.editors)
    return {shift_m: (window, editor.edit(window)) for shift_m, window in windows_of(street, known, shifts_m)}


def _draw(street: Street, row: Row, renders: Mapping[float, Clip], paths: Sequence[Path]) -> None:
    """One strip per shift."""
    edits = street.edits(row.editors)
    for path, (shift_m, render) in zip(paths, renders.items(), strict=True):
        window, truth = street.windows[shift_m], street.targets[shift_m].truth
        write_strip(path, window.render, window.eig.eig_nats, edits[shift_m].frames, render, truth)
