"""Checks masks against LiDAR and boxes: whether white is what it should be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from faithfusion.check.evidence import Evidence
from faithfusion.check.findings import Finding, broken, note, remark
from faithfusion.data.images import load_dynamic_mask, load_ego_mask, load_sky_mask
from faithfusion.data.lidar import project_points
from faithfusion.types import Frame

MIN_RETURNS = 50
HALF = 0.5
SKY_BROKEN = 0.5  # share of LiDAR returns on sky pixels beyond which the mask is inverted
SKY_REMARK = 0.1  # share of LiDAR returns on sky pixels beyond which the mask is worth a remark
MAX_DYNAMIC_SHARE = 0.6  # share of an image that moving objects may cover


def check_masks(evidence: Evidence) -> list[Finding]:
    """Checks sky, dynamic and ego masks of every camera."""
    findings: list[Finding] = []
    for name in evidence.clip.camera_names:
        frames = [evidence.clip.frame(t, name) for t in evidence.sample_times()]
        findings += _check_sky(evidence, name, frames)
        findings += _check_cover(name, frames, "dynamic", load_dynamic_mask)
        findings += _check_cover(name, frames[:1], "ego", load_ego_mask)
    return findings


def _check_sky(evidence: Evidence, name: str, frames: list[Frame]) -> list[Finding]:
    masks = {frame.time_index: mask for frame in frames if (mask := load_sky_mask(frame)) is not None}
    if not masks:
        return []
    subject = f"camera {name}"
    shares = [returns_on_sky(evidence, t, name, mask) for t, mask in masks.items()]
    known = [share for share in shares if share is not None]
    if known:
        share = float(np.median(known))
        text = f"{share:.0%} of the LiDAR returns lie on sky pixels"
        if share > SKY_BROKEN:
            return [broken(subject, f"sky masks are inverted: {text}")]
        return [(remark if share > SKY_REMARK else note)(subject, text)]
    if sum(sky_is_below(mask) for mask in masks.values()) > HALF * len(masks):
        return [broken(subject, "sky masks are inverted: the sky lies below everything else")]
    return []


def returns_on_sky(evidence: Evidence, t: int, name: str, sky: Bool[Tensor, "h w"]) -> float | None:
    """Share of the LiDAR returns in the image that fall on sky pixels; None for too few."""
    if evidence.clip.lidar_paths[t] is None:
        return None
    uv, _, inside = project_points(evidence.points_world(t), evidence.clip.frame(t, name).camera)
    column, row = uv[inside].long().unbind(-1)
    return float(sky[row, column].float().mean()) if len(row) >= MIN_RETURNS else None


def sky_is_below(sky: Bool[Tensor, "h w"]) -> bool:
    """Whether the mean row of the sky lies below that of the rest."""
    rows = torch.arange(len(sky), dtype=torch.float32)[:, None].expand(sky.shape)
    return bool(sky.any() and (~sky).any() and rows[sky].mean() > rows[~sky].mean())


def _check_cover(
    name: str, frames: list[Frame], kind: str, load: Callable[[Frame], Bool[Tensor, "h w"] | None]
) -> list[Finding]:
    covers = [float(mask.float().mean()) for frame in frames if (mask := load(frame)) is not None]
    if not covers or np.median(covers) <= MAX_DYNAMIC_SHARE:
        return []
    text = f"{kind} masks cover {np.median(covers):.0%} of the image: inverted?"
    return [broken(f"camera {name}", text)]
