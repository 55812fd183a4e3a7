"""How well a fitted street shows what was not recorded, by kind of surface: against the true views beside the path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.data.instances import is_non_rigid, leaves_its_place
from faithfusion.data.trajectories import shifted_cameras
from faithfusion.render.render_view import render_view
from faithfusion.street.truth import TrueView, load_truth
from faithfusion.types import Camera, DriveClip, GaussianScene

GROUND_BAND_M = 0.03
"""A street's road is flat at height 0 of its world; kerbs are higher."""
FAR_M = 40.0
"""Ground beyond is a strip of a few pixel rows."""
MARKING_CONTRAST = 0.15
"""Paint is brighter than the median of the visible road by this."""


@dataclass(frozen=True)
class RegionScore:
    """The PSNR over all pixels of a region in all compared views, and the number of those pixels."""

    psnr_db: float
    num_pixels: int


def moving_ids(root: Path) -> dict[str, set[int]]:
    """Returns the instance ids in the truth of a street that move: those of "vehicles" and those of "people" (cyclists
    with their bicycles)."""
    info = json.loads((root / "instances" / "instances_info.json").read_text())
    found: dict[str, set[int]] = {"vehicles": set(), "people": set()}
    for key, entry in info.items():
        if leaves_its_place(np.array(entry["frame_annotations"]["obj_to_world"])[:, :3, 3]):
            found["people" if is_non_rigid(entry["class_name"]) else "vehicles"].add(int(key) + 1)
    return found


def true_regions(view: TrueView, camera: Camera, moving: Mapping[str, set[int]]) -> dict[str, Bool[Tensor, "h w"]]:
    """Returns masks of everything, the road near by, its markings, moving vehicles, moving people, and the rest."""
    row, column = torch.meshgrid(torch.arange(camera.height) + 0.5, torch.arange(camera.width) + 0.5, indexing="ij")
    K = camera.intrinsics
    rays = torch.stack([(column - K[0, 2]) / K[0, 0], (row - K[1, 2]) / K[1, 1], torch.ones_like(row)], -1)
    height_m = (rays * view.depth[..., None] @ camera.world_from_camera[:3, :3].T + camera.world_from_camera[:3, 3])[
        ..., 2
    ]
    static = view.instance_ids == 0
    road = (height_m.abs() < GROUND_BAND_M) & ~view.sky & (view.depth < FAR_M) & static
    brightness = view.color.mean(-1)
    paint = road & (brightness > brightness[road].median() + MARKING_CONTRAST) if bool(road.any()) else road
    regions = {"everything": torch.ones_like(road), "road": road, "markings": paint}
    for name, ids in moving.items():
        regions[name] = torch.isin(view.instance_ids, torch.tensor(sorted(ids), dtype=view.instance_ids.dtype))
    return regions | {"rest": ~road & ~regions["vehicles"] & ~regions["people"]}


def score_regions(
    scene: GaussianScene, clip: DriveClip, camera_name: str, shift_m: float, frame_stride: int
) -> dict[str, RegionScore]:
    """Scores every `frame_stride`-th view of a street's camera driven `shift_m` metres to the left. Regions that are
    never seen are left out. Raises InputError if the street has no truth there."""
    moving = moving_ids(clip.root)
    totals: dict[str, tuple[float, int]] = {}
    for camera, time_index, view in _true_views(clip, camera_name, shift_m, frame_stride):
        with torch.no_grad():
            color = render_view(scene, camera, time_index).color.clamp(0.0, 1.0).cpu()
        sq_error: Float[Tensor, "h w"] = (color - view.color).square().mean(-1)
        for name, mask in true_regions(view, camera, moving).items():
            total, count = totals.get(name, (0.0, 0))
            totals[name] = (total + float(sq_error[mask].sum()), count + int(mask.sum()))
    return {
        name: RegionScore(float(-10.0 * torch.tensor(total / count).clamp_min(1e-12).log10()), count)
        for name, (total, count) in totals.items()
        if count
    }


def _true_views(
    clip: DriveClip, camera_name: str, shift_m: float, frame_stride: int
) -> Iterator[tuple[Camera, int, TrueView]]:
    cameras = shifted_cameras(clip, camera_name, shift_m)
    for time_index in range(frame_stride // 2, clip.num_frames, frame_stride):
        yield cameras[time_index], time_index, load_truth(clip.root, shift_m, camera_name, time_index)
