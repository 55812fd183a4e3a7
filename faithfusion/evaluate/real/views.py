"""A scene against recorded pictures: quality, by kind of surface, and what poses and exposure leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
    "flow_y_px" (its medians, which a wrong calibration moves), "flow_db" (what moving all renders by those medians
    brings), "exposure" (mean absolute log gain that is left) and "exposure_db" (what the best gain per picture and
    channel brings).
    """
    renders = _renders(scene, frames)
    scores = score_pictures(torch.stack(renders), drive, frames, network)
    return scores | _residuals(scene, renders, frames, scores["psnr_db"]) if residuals else scores


@torch.no_grad()
def _renders(scene: GaussianScene, frames: Sequence[Frame], x_px: float = 0.0, y_px: float = 0.0) -> list[Tensor]:
    """The scene as the frames' cameras see it, their principal points moved."""
    move = torch.zeros(3, 3)
    move[0, 2], move[1, 2] = x_px, y_px
    cameras = [replace(frame.camera, intrinsics=frame.camera.intrinsics + move) for frame in frames]
    views = (render_view(scene, camera, frame.time_index) for camera, frame in zip(cameras, frames, strict=True))
    return [view.color.clamp(0.0, 1.0).cpu() for view in views]


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


def _residuals(scene: GaussianScene, renders: Sequence[Tensor], frames: Sequence[Frame], psnr_db: float) -> Scores:
    images, masks = [load_image(frame) for frame in frames], [_seen(frame) for frame in frames]
    pairs = list(zip(renders, images, masks, strict=True))
    flow = torch.cat([residual_flow(render, image) for render, image, _ in pairs])
    if not len(flow):
        flow = torch.zeros(1, 2)
    x_px, y_px = flow.median(0).values.tolist()
    scores = {"flow_px": float(flow.norm(dim=-1).median()), "flow_x_px": x_px, "flow_y_px": y_px}
    moved = zip(_renders(scene, frames, x_px, y_px), images, masks, strict=True)
    scores["flow_db"] = _mean([_psnr_db(*triple) for triple in moved]) - psnr_db
    exposed = [exposed_alike(*triple) for triple in pairs]
    scores["exposure"] = _mean([float(gain.abs().mean()) for _, gain in exposed])
    better = [_psnr_db(render, *triple[1:]) for (render, _), triple in zip(exposed, pairs, strict=True)]
    return scores | {"exposure_db": _mean(better) - psnr_db}


def _psnr_db(picture: Float[Tensor, "h w 3"], image: Float[Tensor, "h w 3"], mask: Bool[Tensor, "h w"]) -> float:
    return psnr_of((picture - image).square().mean(-1)[mask])


def _seen(frame: Frame) -> Bool[Tensor, "h w"]:
    blind = load_blind_mask(frame)
    everywhere = torch.ones(frame.camera.height, frame.camera.width, dtype=torch.bool)
    return everywhere if blind is None else ~blind


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
