"""What a refinement run leaves for people: videos, pictures, metrics and one report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import yaml
from jaxtyping import Float, UInt8
from torch import Tensor

from faithfusion.data.path_hits import warning_line
from faithfusion.evaluate.metrics.recorded_frames import score_frames
from faithfusion.evaluate.metrics.registry import metric_name
from faithfusion.evaluate.report.panels import (
    EIG_RANGE_NATS,
    colorize_eig,
    frame_bytes,
    frames_side_by_side,
    with_color_bar,
)
from faithfusion.evaluate.report.report import NO_TRUTH, Report, write_report
from faithfusion.evaluate.report.run_views import (
    RunViews,
    decile_curves,
    error_reliability,
    shift_metrics,
    sparsification_curves,
    uncertainty_metrics,
)
from faithfusion.evaluate.report.trajectory_picture import draw_preview
from faithfusion.pipeline.choices import lines_of, load_choices
from faithfusion.pipeline.config import RefineConfig
from faithfusion.pipeline.given_scene import SEEN
from faithfusion.pipeline.refine import RefineRun
from faithfusion.render.render_view import render_clip
from faithfusion.scene.graph import gaussians_at
from faithfusion.scene.ply import export_ply
from faithfusion.street.truth import load_truth, true_shifts, truth_paths
from faithfusion.types import Frame, GaussianScene
from faithfusion.utils.media import write_image, write_video
from faithfusion.utils.plain import to_plain

UNUSED_CAMERAS = "cameras that were not used"
"""Their true images show the scene from where no fit has seen it."""


def summarise_run(run: RefineRun, config: RefineConfig, stage_seconds: Mapping[str, float], *, command: str) -> Path:
    """Writes scene.ply, videos, stills, metrics and the report, and returns the path of the report. `stage_seconds`
    says what every stage of the run took."""
    out = Path(config.out)
    views = final_views(run, config.editor.regenerate_rms)
    export_ply(out / "scene.ply", gaussians_at(run.after, 0))
    with ThreadPoolExecutor() as pool:  # encoders are processes of their own: threads feed them while clips are scored
        videos = start_videos(out, views, run.clip.frame_rate_hz, pool)
        report = _measure(run, config, views, stage_seconds, command)
        for video in videos:
            video.result()
    return write_report(out, report)


def _measure(
    run: RefineRun, config: RefineConfig, views: RunViews, stage_seconds: Mapping[str, float], command: str
) -> Report:
    """The report of a run, whose videos may still be being written."""
    out, cameras = Path(config.out), run.last.window.cameras
    write_image(out / "trajectory.png", draw_preview(run.clip, run.camera_name, run.path, run.hits))
    metrics = {f"{run.path.place}: {name}": row for name, row in shift_metrics(views, cameras).items()}
    metrics |= {f"uncertainty: {name}": row for name, row in uncertainty_metrics(views).items()}
    for name, frames in {
        "recorded lane, held-out": run.drive.split.held_out,
        UNUSED_CAMERAS: run.other_cameras,
    }.items():
        if frames or name != UNUSED_CAMERAS:
            metrics[f"{name}: before"] = unseen_scores(run.before, frames)
            metrics[f"{name}: after"] = unseen_scores(run.after, frames)
    shown = "before, EIG, edited, after" + (", truth" if views.truth is not None else "")
    return Report(
        title=f"{run.clip.name}, camera {run.camera_name}, {run.path.title}",
        metrics=metrics,
        summary=findings(views, metrics, run.path.place),
        videos={shown: out / "comparison.mp4"},
        stills=tuple((f"frame {t}", still_file(out, t)) for t in still_frames(len(cameras))),
        reliability=error_reliability(views) if views.truth is not None else None,
        sparsification=sparsification_curves(views) if views.truth is not None else {},
        psnr_by_decile=decile_curves(views) if views.truth is not None else {},
        stage_seconds=dict(stage_seconds),
        notes=scene_notes(run) + lines_of(load_choices(out)) + ((warning_line(run.hits),) if run.hits else ()),
        no_truth=why_no_truth(run),
        trajectory=out / "trajectory.png",
        config_yaml=yaml.safe_dump(to_plain(config), sort_keys=False),
        command=command,
        eig_range_nats=EIG_RANGE_NATS,
    )


def final_views(run: RefineRun, regenerate_rms: float) -> RunViews:
    """Returns the clip on the new path: the fitted scene, the last edit, the distilled scene, and the truth
    if it is known.

    EIG is that of the fitted scene, before anything was refined.
    """
    truth, shift_m = None, run.path.shift_m
    if not why_no_truth(run):
        times = range(run.clip.num_frames)
        truth = torch.stack([load_truth(run.clip.root, shift_m, run.camera_name, t).color for t in times])
    return RunViews(
        before=run.unrefined.window.render,
        render=run.last.window.render,
        edit=run.last.edited.frames,
        after=render_clip(run.after, run.last.window.cameras),
        eig=run.unrefined.window.eig,
        depth=run.unrefined.window.depth,
        truth=truth,
        regenerate_rms=regenerate_rms,
    )


def why_no_truth(run: RefineRun) -> str:
    """Says why the run cannot be compared with true images; empty if it can."""
    shift_m, root = run.path.shift_m, run.clip.root
    if not true_shifts(root):
        return NO_TRUTH
    if shift_m is None:
        return NO_TRUTH + " True images of a procedural street are made for shifts of the whole drive only."
    if not truth_paths(root, shift_m, run.camera_name, 0)[0].is_file():
        return NO_TRUTH + f" This street has none of camera {run.camera_name} {run.path.place}."
    return ""


def start_videos(out: Path, views: RunViews, frame_rate_hz: float, pool: Executor) -> list[Future[None]]:
    """Starts to write comparison.mp4 with three stills, eig.mp4, before.mp4, edit.mp4 and after.mp4."""
    eig = colorize_eig(views.eig.eig_nats, EIG_RANGE_NATS)
    panels = {"before": views.before, "EIG": frame_bytes(with_color_bar(eig, EIG_RANGE_NATS)), "edited": views.edit}
    panels["after: distilled scene"] = views.after
    if views.truth is not None:
        panels["truth"] = views.truth
    clips = {"comparison": comparison_frames(out, panels), "eig": panels["EIG"]}
    clips |= {name: getattr(views, name) for name in ("before", "edit", "after")}
    return [pool.submit(write_video, out / f"{name}.mp4", clip, frame_rate_hz) for name, clip in clips.items()]


def comparison_frames(
    out: Path, panels: Mapping[str, Float[Tensor, "t h w 3"] | np.ndarray]
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Yields the panels side by side, and writes the stills as they pass."""
    shown = still_frames(len(panels["before"]))
    for t, frame in enumerate(frames_side_by_side(panels)):
        if t in shown:
            write_image(still_file(out, t), frame)
        yield frame


def still_file(out: Path, t: int) -> Path:
    """The file of a still of the comparison."""
    return out / "stills" / f"{t:03d}.png"


def unseen_scores(scene: GaussianScene, frames: Sequence[Frame]) -> dict[str, float]:
    """Scores recorded frames that no fit has seen: "psnr_db", "ssim", and the PSNR per camera and inside moving
    objects."""
    scores = score_frames(scene, frames)
    everything = scores.pop("all", {})
    return {name: everything[name] for name in ("psnr_db", "ssim") if everything} | {
        f"psnr_db {part}": row["psnr_db"] for part, row in scores.items()
    }


def findings(views: RunViews, metrics: dict[str, dict[str, float]], place: str) -> tuple[str, ...]:
    """Returns the result in sentences. `place` is the one of the new path, which heads its metrics."""
    before, edit, after = (metrics[f"{place}: {name}"] for name in ("before", "edit", "after"))
    share = 100.0 * metrics["uncertainty: eig"]["regenerated_share"]
    lines = [f"{share:.1f} % of the pixels {place} are uncertain enough to be regenerated."]
    if views.truth is not None:
        rows = {"as fitted": before, "edited": edit, "after distillation": after}
        lines.append("PSNR to the truth: " + ", ".join(f"{row['psnr_db']:.2f} dB {name}" for name, row in rows.items()))
        errors = (f"{row['regenerated_mae']:.4f} {name}" for name, row in rows.items())
        lines.append("Mean absolute error inside that region: " + ", ".join(errors))
    lane = [metrics[f"recorded lane, held-out: {name}"].get("psnr_db") for name in ("before", "after")]
    if None not in lane:
        lines.append(f"Held-out frames of the recorded lane: {lane[0]:.2f} dB before, {lane[1]:.2f} dB after.")
    if f"{UNUSED_CAMERAS}: before" in metrics:
        unused = [metrics[f"{UNUSED_CAMERAS}: {name}"]["psnr_db"] for name in ("before", "after")]
        lines.append(
            f"Cameras that were not used, their true images: {unused[0]:.2f} dB before, {unused[1]:.2f} dB after."
        )
    name = "psnr_to_render_lowest_eig_decile_db"
    return (
        *lines,
        f"PSNR of the edit to the render, best known tenth of the pixels: {metric_name(name).show(edit[name])}.",
    )


def still_frames(num_frames: int) -> list[int]:
    """Returns three time stamps spread over a clip."""
    return sorted({num_frames // 6, num_frames // 2, num_frames - 1 - num_frames // 6})


def scene_notes(run: RefineRun) -> tuple[str, ...]:
    """Returns what the reader of the report must know about this drive."""
    absent = (f"Absent in this drive: {', '.join(run.clip.missing)}.",) if run.clip.missing else ()
    return (SEEN, *absent) if "given" in run.metadata else absent
