"""Whether an imported scene and the pictures of its drive fit: a score and a picture to look at."""

from __future__ import annotations

from pathlib import Path

import torch

from faithfusion.data.images import load_image
from faithfusion.evaluate.metrics.recorded_frames import score_frames
from faithfusion.render.render_view import render_view
from faithfusion.types import DriveClip, GaussianScene
from faithfusion.utils.media import write_image

NUM_FRAMES = 3


def check_import(path: Path, scene: GaussianScene, clip: DriveClip) -> str:
    """Writes recorded and rendered images of a few time stamps of the first camera side by side, and returns a line
    with the mean PSNR."""
    name = clip.camera_names[0]
    times = sorted({round(i * (clip.num_frames - 1) / (NUM_FRAMES - 1)) for i in range(NUM_FRAMES)})
    frames = [clip.frame(t, name) for t in times]
    rows = []
    for frame in frames:
        with torch.no_grad():
            color = render_view(scene, frame.camera, frame.time_index).color.clamp(0.0, 1.0)
        rows.append(torch.cat([load_image(frame), color], dim=1))
    write_image(path, torch.cat(rows))
    psnr_db = score_frames(scene, frames)["all"]["psnr_db"]
    return f"{path}: recorded | rendered at {len(frames)} time stamps of camera {name}, mean PSNR {psnr_db:.2f} dB"
