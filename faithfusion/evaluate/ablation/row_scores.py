"""What the clips of a street are compared with beside the recorded lane, and the scores of the lane itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from faithfusion.evaluate.metrics.recorded_frames import score_frames
from faithfusion.evaluate.metrics.scored_clip import Target
from faithfusion.evaluate.metrics.surface_scores import moving_ids
from faithfusion.street.truth import load_truth
from faithfusion.types import DriveClip, Frame, GaussianScene, Window


def make_target(
    clip: DriveClip, camera_name: str, shift_m: float, window: Window, regenerate_rms: float, network: nn.Module | None
) -> Target:
    """Reads the truth of every time stamp at one shift and says where the unrefined render (`window`) is expected to be
    wrong. Raises InputError if the street has no truth there."""
    views = [load_truth(clip.root, shift_m, camera_name, t) for t in range(clip.num_frames)]
    ids = torch.tensor(sorted(set().union(*moving_ids(clip.root).values())), dtype=torch.int64)
    return Target(
        cameras=window.cameras,
        depth_m=torch.stack([view.depth for view in views]),
        eig_nats=window.eig.eig_nats,
        region=window.eig.expected_sq_error > regenerate_rms**2,
        static=torch.stack([~torch.isin(view.instance_ids, ids) for view in views]),
        render=window.render,
        truth=torch.stack([view.color for view in views]),
        network=network,
    )


def score_lane(scene: GaussianScene, held_out: Sequence[Frame], camera_name: str) -> dict[str, float]:
    """Scores the held-out frames of the recorded lane: those of one camera, and those of all ("psnr_db all
    cameras")."""
    scores = score_frames(scene, held_out)
    front, everything = scores[f"camera {camera_name}"], scores["all"]
    return {
        "psnr_db": front["psnr_db"],
        "ssim": front["ssim"],
        "psnr_db all cameras": everything["psnr_db"],
        "ssim all cameras": everything["ssim"],
    }
