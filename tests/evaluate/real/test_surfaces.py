from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from tiny_clip import write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.lidar import load_points_world
from faithfusion.evaluate.real.surfaces import KINDS, surface_kinds
from faithfusion.scene.ground import fit_ground


def test_road_wall_and_what_no_return_reaches(tmp_path: Path) -> None:
    """Flat ground below a wall 14 m ahead that is 3 m high; the camera is 1.5 m above the ground."""
    root = write_tiny_clip(tmp_path / "drive", width=96, height=96, camera_names=("0",), optional=False)
    (root / "lidar").mkdir()
    x, y = (values.ravel() for values in np.meshgrid(np.arange(2.0, 15.0, 0.1), np.arange(-9.0, 9.0, 0.1)))
    ground = np.stack([x, y, 0.0 * x], 1)
    y, z = (values.ravel() for values in np.meshgrid(np.arange(-9.0, 9.0, 0.1), np.arange(0.3, 3.0, 0.1)))
    wall = np.stack([np.full_like(y, 14.0), y, z], 1)
    for t in range(6):
        rows = np.zeros((len(ground) + len(wall), 14), np.float32)
        rows[:, 3:6] = np.concatenate([ground, wall])
        rows.tofile(root / "lidar" / f"{t:03d}.bin")
    clip = read_drive(root)
    frame, image = clip.frames[0], torch.zeros(96, 96, 3)
    image[:16] = 1.0  # bright, above every return
    image[80:] = 1.0  # bright, but road
    kinds = surface_kinds(clip, frame, image, fit_ground(load_points_world(clip, 0)))
    assert tuple(kinds) == KINDS and torch.equal(sum(mask.int() for mask in kinds.values()), torch.ones(96, 96).int())
    assert kinds["road"][72:88].all() and kinds["upright"][44:52, 20:76].all()
    assert kinds["sky"][:16].all() and not kinds["sky"][16:].any()
    assert kinds["beyond LiDAR"][16:32].all()
    bare = dataclasses.replace(clip, lidar_paths=(None,) * clip.num_frames)
    nothing = surface_kinds(bare, frame, 0.5 * image, None)
    assert nothing["beyond LiDAR"].all() and not nothing["road"].any()
