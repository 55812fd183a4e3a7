"""How well a fitted scene shows the frames it has not seen."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from faithfusion.data.images import load_blind_mask, load_dynamic_mask, load_image
from faithfusion.render.render_view import render_view
from faithfusion.types import Frame, GaussianScene
from faithfusion.utils.image_math import psnr_db, ssim_map

MIN_DYNAMIC_PX = 100
"""Frames with fewer pixels of moving objects do not count for those."""


def score_frames(scene: GaussianScene, frames: Sequence[Frame]) -> dict[str, dict[str, float]]:
    """Returns the mean PSNR (dB) and SSIM per camera ("camera 0", ...) and over all frames ("all"), and the PSNR within
    the masks of moving objects ("moving objects") if the drive has such masks. The ego vehicle and what the lens never
    saw are left out of the PSNR."""
    rows: dict[str, list[dict[str, float]]] = {}
    for frame in frames:
        image = load_image(frame)
        with torch.no_grad():
            color = render_view(scene, frame.camera, frame.time_index).color.clamp(0, 1).cpu()
        blind = load_blind_mask(frame)
        psnr = psnr_db(color, image, None if blind is None else ~blind)
        row = {"psnr_db": psnr, "ssim": float(ssim_map(color, image).mean())}
        rows.setdefault(f"camera {frame.camera_name}", []).append(row)
        rows.setdefault("all", []).append(row)
        moving = load_dynamic_mask(frame)
        if moving is not None and int(moving.sum()) >= MIN_DYNAMIC_PX:
            rows.setdefault("moving objects", []).append({"psnr_db": psnr_db(color, image, moving)})
    return {name: _mean(part) | {"frames": len(part)} for name, part in rows.items()}


def _mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
