"""Scores of one clip beside the recorded lane, and of the recorded lane itself, against a street's truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from faithfusion.evaluate.metrics.flicker import warp_error
from faithfusion.evaluate.metrics.image_scores import score_region, score_video
from faithfusion.evaluate.metrics.perceptual import perceptual_scores, stage_features
from faithfusion.evaluate.metrics.recorded_frames import score_frames
from faithfusion.evaluate.metrics.surface_scores import moving_ids
from faithfusion.evaluate.report.run_views import lowest_decile
from faithfusion.street.truth import load_truth
from faithfusion.types import Camera, DriveClip, Frame, GaussianScene, Window
from faithfusion.utils.image_math import psnr_db
from faithfusion.utils.mobilenet import StageFeatures

Scores = dict[str, float]


@dataclass(frozen=True)
class Target:
    """What clips at one shift are compared with. `region`: where the unrefined render is expected to be wrong, the same
    for every row; `static`: pixels of things that do not move; `lowest_eig`: the decile that is known best."""

    cameras: Sequence[Camera]
    truth: Float[Tensor, "t h w 3"]
    depth_m: Float[Tensor, "t h w"]
    static: Bool[Tensor, "t h w"]
    render: Float[Tensor, "t h w 3"]
    region: Bool[Tensor, "t h w"]
    lowest_eig: Bool[Tensor, "t h w"]
    network: nn.Module | None
    features: StageFeatures


def make_target(
    clip: DriveClip,
    camera_name: str,
    shift_m: float,
    window: Window,
    regenerate_rms: float,
    network: nn.Module | None,
    cameras: Sequence[Camera],
) -> Target:
    """Reads the truth of every time stamp. InputError if the street has none at this shift."""
    views = [load_truth(clip.root, shift_m, camera_name, t) for t in range(clip.num_frames)]
    ids = torch.tensor(sorted(set().union(*moving_ids(clip.root).values())), dtype=torch.int64)
    truth = torch.stack([view.color for view in views])
    return Target(
        cameras=cameras,
        truth=truth,
        depth_m=torch.stack([view.depth for view in views]),
        static=torch.stack([~torch.isin(view.instance_ids, ids) for view in views]),
        render=window.render,
        region=window.eig.expected_sq_error > regenerate_rms**2,
        lowest_eig=lowest_decile(window.eig.eig_nats),
        network=network,
        features=() if network is None else stage_features(network, truth),
    )


def score_clip(video: Float[Tensor, "t h w 3"], target: Target) -> Scores:
    """Quality against the truth, whole and in the region, flicker along the true depth (of the video and of its
    artefacts: what is blurred flickers less than the truth does), faithfulness to the render."""
    region = score_region(video, target.truth, target.region)
    along = (target.depth_m, target.cameras, target.static)
    return {
        **score_video(video, target.truth),
        **{f"regenerated_{name}": value for name, value in region.items()},
        **perceptual_scores(target.network, video, target.features, target.region.float()),
        "flicker": warp_error(video, *along),
        "artefact_flicker": warp_error(video - target.truth, *along),
        "psnr_to_render_lowest_eig_decile_db": psnr_db(video, target.render, target.lowest_eig),
    }


def score_lane(scene: GaussianScene, held_out: Sequence[Frame], camera_name: str) -> Scores:
    """Held-out frames of the recorded lane: of one camera, and of all ("psnr_db all cameras")."""
    scores = score_frames(scene, held_out)
    front, everything = scores[f"camera {camera_name}"], scores["all"]
    return {
        "psnr_db": front["psnr_db"],
        "ssim": front["ssim"],
        "psnr_db all cameras": everything["psnr_db"],
        "ssim all cameras": everything["ssim"],
    }
