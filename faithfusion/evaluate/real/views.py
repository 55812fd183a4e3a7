"""A scene against recorded pictures: quality, by kind of surface, and what poses and exposure leave."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from faithfusion.data.images import load_blind_mask, load_image
from faithfusion.evaluate.metrics.perceptual import stage_features
from faithfusion.evaluate.real.residuals import exposed_alike, residual_flow
from faithfusion.evaluate.real.surfaces import KINDS, surface_kinds
from faithfusion.pipeline.drive import Drive
from faithfusion.render.render_view import render_view
from faithfusion.types import Frame, GaussianScene
from faithfusion.utils.image_math import psnr_of, ssim_map
from faithfusion.utils.mobilenet import feature_distance

Scores = dict[str, float]


def score_scene(
    scene: GaussianScene, drive: Drive, frames: Sequence[Frame], network: nn.Module | None, *, residuals: bool = False
) -> Scores:
    """`score_pictures` of a scene's renders of recorded frames, posed in the world of `drive`.

    With `residuals` also "flow_px" (median length of what is left between render and picture), "flow_x_px" and
    "flow_y_px" (its medians, which a wrong pose or calibration moves), "exposure" (mean absolute log gain that is left)
    and "exposure_db" (what the best gain per picture and channel would bring).
    """
    renders = []
    with torch.no_grad():
        for frame in frames:
            renders.append(render_view(scene, frame.camera, frame.time_index).color.clamp(0.0, 1.0).cpu())
    scores = score_pictures(torch.stack(renders), drive, frames, network)
    return scores | _residuals(renders, frames, scores["psnr_db"]) if residuals else scores


def score_pictures(
    pictures: Float[Tensor, "t h w 3"], drive: Drive, frames: Sequence[Frame], network: nn.Module | None
) -> Scores:
    """Returns "psnr_db" and "ssim" (means over frames), "mobilenet_distance" and, over all pixels of a kind, "psnr_db
    road" and so on, of pictures against the recorded ones. What the lens did not see and the ego vehicle count not in
    PSNR."""
    ground = drive.lidar.ground(drive.split.recorded)
    images = torch.stack([load_image(frame) for frame in frames])
    sq_error = (pictures - images).square().mean(-1)
    masks = [_seen(frame) for frame in frames]
    scores = {
        "psnr_db": _mean([psnr_of(error[mask]) for error, mask in zip(sq_error, masks, strict=True)]),
        "ssim": _mean([float(ssim_map(a, b).mean()) for a, b in zip(pictures, images, strict=True)]),
    }
    if network is not None:
        ours, theirs = (stage_features(network, clip) for clip in (pictures, images))
        scores["mobilenet_distance"] = float(feature_distance(ours, theirs))
    kinds = [surface_kinds(drive.clip, frame, image, ground) for frame, image in zip(frames, images, strict=True)]
    for name in KINDS:
        region = torch.stack([kind[name] & mask for kind, mask in zip(kinds, masks, strict=True)])
        if bool(region.any()):
            scores[f"psnr_db {name}"] = psnr_of(sq_error[region])
    return scores


def _residuals(renders: Sequence[Tensor], frames: Sequence[Frame], psnr_db: float) -> Scores:
    flows, gains, exposed = [], [], []
    for render, frame in zip(renders, frames, strict=True):
        image, mask = load_image(frame), _seen(frame)
        flows.append(residual_flow(render, image))
        better, gain = exposed_alike(render, image, mask)
        gains.append(float(gain.abs().mean()))
        exposed.append(psnr_of((better - image).square().mean(-1)[mask]))
    flow = torch.cat(flows)
    if not len(flow):
        flow = torch.full((1, 2), float("nan"))
    x_px, y_px = flow.median(0).values.tolist()
    length = float(flow.norm(dim=-1).median())
    of_poses = {"flow_px": length, "flow_x_px": x_px, "flow_y_px": y_px}
    return of_poses | {"exposure": _mean(gains), "exposure_db": _mean(exposed) - psnr_db}


def _seen(frame: Frame) -> Bool[Tensor, "h w"]:
    blind = load_blind_mask(frame)
    everywhere = torch.ones(frame.camera.height, frame.camera.width, dtype=torch.bool)
    return everywhere if blind is None else ~blind


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
