"""Which pixels of moving objects nothing carries: they teach a scene of Gaussians a world that never stood still."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from faithfusion.data.box_masks import box_pixels, pinhole_rays
from faithfusion.data.images import load_dynamic_mask
from faithfusion.types import DriveClip, Frame

BOX_MARGIN_M = 0.25
"""This far outside a moving box belongs to it too: mirrors stick out of tight boxes, masks are a pixel too large, and
LiDAR strays would stay behind as ghosts."""


def uncarried_movers(clip: DriveClip, frame: Frame) -> Bool[Tensor, "h w"] | None:
    """Pixels that the drive's dynamic mask calls moving and that lie in no moving object's box; None without a mask.

    A tracked object is carried by a node of its own. A mask without a box (a person nobody tracked, a box that came
    too late) has no node, so its pixels are left out of the fit and of EIG's evidence.
    """
    moving = load_dynamic_mask(frame)
    if moving is None:
        return None
    carried = np.zeros(moving.shape, bool)
    lens = pinhole_rays(frame.camera)
    camera_from_world = frame.camera.camera_from_world.double().numpy()
    for track in clip.tracks:
        at = torch.nonzero(track.time_indices == frame.time_index).flatten()
        if track.is_moving and len(at):
            world_from_box = track.world_from_box[int(at[0])].double().numpy()
            size_m = track.size_m.double().numpy() + 2.0 * BOX_MARGIN_M
            rows, columns, hit = box_pixels(lens, camera_from_world @ world_from_box, size_m)
            carried[rows, columns] |= hit
    return moving & ~torch.from_numpy(carried)
