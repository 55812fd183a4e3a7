"""The EIG benchmark: every uncertainty map against the true error of renders beside the recorded path."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.eig.assess import RecordedViews, assess_scene
from faithfusion.eig.calibrate import street_curves
from faithfusion.eig.field import EigField
from faithfusion.eig.fisher import fisher_information, fisher_maps
from faithfusion.eig.pixel_gain import eig_map
from faithfusion.eig.posterior import Posterior, diagonal_posterior
from faithfusion.eig.published import PublishedInformation, published_gain, published_information
from faithfusion.evaluate.benchmark_config import EigBenchmarkConfig
from faithfusion.evaluate.eig.figures import draw_view
from faithfusion.evaluate.eig.scores import FISHER_GAIN, FISHER_SEEN, OURS, ShiftScores, ViewMaps, score_shift
from faithfusion.evaluate.metrics.uncertainty import SKY_ALPHA
from faithfusion.evaluate.street_scenes import FittedScene, TrueImage, fitted_stereo, fitted_street, informing_frames
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.plain import to_plain
from faithfusion.utils.progress import track
from faithfusion.utils.seed import make_generator

SHOWN_SHIFT_M = 3.0


@dataclass(frozen=True)
class KnownScene:
    """A fitted scene and what each method knows about it. `certain`: the posterior without discrepancy."""

    field: EigField
    certain: Posterior
    diagonal: Posterior
    published: PublishedInformation
    fisher: Float[Tensor, "n d"]


def run_benchmark(config: EigBenchmarkConfig) -> tuple[list[ShiftScores], list[Path]]:
    """Makes, fits and scores every scene, in stages that are skipped when they are done.

    Returns all scores, and the pictures a page shows: of the first street and the stereo drive.
    """
    rows, pictures = [], []
    scenes = [lambda seed=seed: fitted_street(config, seed) for seed in config.seeds]
    if config.stereo:
        scenes.append(lambda: fitted_stereo(config))
    for make in scenes:
        fitted = make()
        path = fitted.folder / "scores.json"
        drawn = [fitted.folder / f"maps_{shift_m:+g}m.png" for shift_m in fitted.truth]
        inputs = (config.eig, config.posterior_stride, config.frame_stride, sorted(fitted.truth))
        inputs += (FISHER_GAIN, FISHER_SEEN)  # what was scored without them is scored again
        threshold = config.editor.regenerate_rms
        fitted.log.run(
            "scores",
            (inputs, threshold, street_curves(config.eig)),
            [path, *drawn],
            lambda f=fitted: score_scene(f, config),
        )
        rows += [ShiftScores(**row) for row in json.loads(path.read_text())]
        if fitted.name in (f"street_{config.seeds[0]}", Path(config.stereo).name):
            nearest_m = min(map(abs, fitted.truth), key=lambda distance_m: abs(distance_m - SHOWN_SHIFT_M))
            pictures += [path for path, shift_m in zip(drawn, fitted.truth, strict=True) if abs(shift_m) == nearest_m]
    return rows, pictures


def score_scene(fitted: FittedScene, config: EigBenchmarkConfig) -> None:
    """Writes scores.json and one picture of maps per shift into the scene's folder."""
    known = know_scene(fitted, config)
    threshold, rows = config.editor.regenerate_rms, []
    for shift_m, true_images in fitted.truth.items():
        label = f"{fitted.name}, {shift_m:+g} m"
        count = len(range(config.frame_stride // 2, fitted.drive.clip.num_frames, config.frame_stride))
        views = [compare_view(known, true) for true in track(true_images(), label, count)]
        rows.append(score_shift(fitted.name, shift_m, views, threshold))
        draw_view(fitted.folder / f"maps_{shift_m:+g}m.png", views[len(views) // 2], label, threshold)
    with atomic_file(fitted.folder / "scores.json") as temporary:
        temporary.write_text(json.dumps([to_plain(row) for row in rows]))


def know_scene(fitted: FittedScene, config: EigBenchmarkConfig) -> KnownScene:
    """Posterior, calibration and the published information after the same training frames."""
    frames = informing_frames(fitted, config)
    known = assess_scene(fitted.scene, fitted.drive.clip, frames, fitted.drive.split.calibration, config.eig)
    posterior = known.posterior
    certain = dataclasses.replace(
        posterior,
        discrepancy=torch.zeros_like(posterior.discrepancy),
        sky_discrepancy=torch.zeros_like(posterior.sky_discrepancy),
    )
    views = RecordedViews(fitted.drive.clip, frames)
    published, fisher = published_information(fitted.scene, views), fisher_information(fitted.scene, views)
    return KnownScene(known, certain, diagonal_posterior(posterior), published, fisher)


def compare_view(known: KnownScene, true: TrueImage) -> ViewMaps:
    """Every method's map of one view and the render's true error there."""
    scene, at = known.field.scene, (true.camera, true.time_index)
    gain, rendering = known.field.map(*at)
    parameters, _ = eig_map(scene, known.certain, *at)
    diagonal, _ = eig_map(scene, known.diagonal, *at)
    published = published_gain(scene, known.published, *at)
    fisher = fisher_maps(scene, known.fisher, *at)
    random = torch.rand(gain.alpha.shape, generator=make_generator(0, "random map", true.time_index))
    difference = rendering.color.clamp(0, 1) - true.image
    return ViewMaps(
        render=rendering.color,
        truth=true.image,
        uncertainty={
            OURS: gain.eig_nats,
            "EIG, diagonal posterior": diagonal.eig_nats,
            "EIG of the parameters alone": parameters.eig_nats,
            "published code": published.code,
            "published formula": published.paper,
            FISHER_GAIN: fisher.gain,
            FISHER_SEEN: fisher.seen,
            "1 - accumulated alpha": 1.0 - gain.alpha,
            "random": random,
        },
        expected_sq_error=known.field.calibration.expected_sq_error(gain.eig_nats, true.distance_m),
        error=difference.abs().mean(-1),
        sq_error=difference.square().mean(-1),
        is_sky=gain.alpha < SKY_ALPHA if true.is_sky is None else true.is_sky,
    )
