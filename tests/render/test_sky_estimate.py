"""A sky is found again behind Gaussians from pictures that show both."""

from pathlib import Path

import torch
from reference.cloud import make_gaussians
from tiny_clip import write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.render.render_view import render_view
from faithfusion.render.sky_estimate import sky_behind
from faithfusion.scene.sky import ray_directions, sample_sky
from faithfusion.types import GaussianScene, Sky
from faithfusion.utils.media import write_image


def test_the_sky_behind_gaussians_is_found(tmp_path: Path) -> None:
    root = write_tiny_clip(tmp_path, num_frames=4, camera_names=("0",), width=96, height=64, optional=False)
    gaussians = make_gaussians(60)
    gaussians.means[:] = gaussians.means[:, [2, 0, 1]] * torch.tensor([2.0, 1.0, 1.0])  # ahead of the drive
    rows = torch.linspace(0.1, 0.9, 32)[:, None, None].expand(32, 64, 3) * torch.tensor([1.0, 0.6, 0.3])
    scene = GaussianScene(gaussians, torch.zeros(60).long(), (), Sky(rows.contiguous()))
    for frame in read_drive(root).frames:
        picture = render_view(scene, frame.camera, frame.time_index, backend="warp").color
        frame.image_path.unlink()
        write_image(frame.image_path.with_suffix(".png"), picture.detach())
    clip = read_drive(root)
    found = sky_behind(gaussians, clip.frames, 32)
    for frame in clip.frames:
        open_sky = render_view(scene, frame.camera, frame.time_index, backend="warp").alpha < 0.3
        directions = ray_directions(frame.camera)
        difference = (sample_sky(found, directions) - sample_sky(scene.sky, directions))[open_sky].abs()
        assert int(open_sky.sum()) > 1000 and difference.mean() < 0.02
        picture = render_view(GaussianScene(gaussians, scene.node_ids, (), found), frame.camera, 0, backend="warp")
        truth = render_view(scene, frame.camera, 0, backend="warp")
        assert (picture.color - truth.color).abs().mean() < 0.02
    assert bool(found.texture.isfinite().all()) and float(found.texture.min()) >= 0.0
