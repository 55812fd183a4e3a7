"""What would a picture from here tell about a scene of 3D Gaussians? Expected information gain, pixel by pixel.

python examples/eig_for_any_3dgs.py
python examples/eig_for_any_3dgs.py --gaussians point_cloud.ply --cameras cameras.json

Without files a small scene is made. Half of the cameras inform the scene; the others are ranked by what they would add.
Writes a picture: renders above, EIG below (black: known, bright: unknown).
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
import torch.nn.functional as F

from faithfusion import (
    Camera,
    EigField,
    GaussianScene,
    camera_of_file,
    gaussians_from_gsplat,
    import_gaussians,
    read_cameras,
    scene_before_color,
    whole_view,
)
from faithfusion.evaluate.report.panels import EIG_RANGE_NATS, colorize_eig
from faithfusion.utils.errors import run_tool
from faithfusion.utils.media import write_image

WIDTH = 160
NUM_CAMERAS = 12


def made_scene() -> GaussianScene:
    """A disc of ground with five balls on it, z up: 1,500 Gaussians as `gsplat.rasterization` would take them."""
    random = torch.Generator().manual_seed(0)
    ground = torch.randn(500, 3, generator=random) * torch.tensor([1.5, 1.5, 0.02])
    angles = torch.arange(5) * (2 * math.pi / 5)
    centres = torch.stack([angles.cos(), angles.sin(), 0.4 * torch.ones(5)], -1)
    balls = centres[:, None] + 0.35 * F.normalize(torch.randn(5, 200, 3, generator=random), dim=-1)
    means = torch.cat([ground, balls.flatten(0, 1)])
    colors = torch.cat([torch.full((500, 3), 0.4), torch.rand(5, 3, generator=random).repeat_interleave(200, 0)])
    colors = (colors + 0.1 * torch.randn(len(colors), 3, generator=random)).clamp(0.05, 0.95)
    scales = torch.cat([torch.tensor([[0.2, 0.2, 0.02]]).expand(500, 3), torch.full((1000, 3), 0.05)])
    quats = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).expand(len(means), 4)
    return scene_before_color(gaussians_from_gsplat(means, quats, scales, torch.full((len(means),), 0.9), colors))


def orbit(count: int, radius: float = 4.0, height: float = 1.8) -> list[Camera]:
    """Cameras on a circle that look at its centre. A pose has the camera's axes in the world as columns: right, down,
    forward, and its position."""
    cameras = []
    intrinsics = torch.tensor([[WIDTH, 0.0, WIDTH / 2], [0.0, WIDTH, 3 * WIDTH / 8], [0.0, 0.0, 1.0]])
    for angle in torch.arange(count) * (2 * math.pi / count):
        position = torch.stack([radius * angle.cos(), radius * angle.sin(), torch.tensor(height)])
        forward = F.normalize(torch.tensor([0.0, 0.0, 0.3]) - position, dim=0)
        right = F.normalize(torch.linalg.cross(forward, torch.tensor([0.0, 0.0, 1.0])), dim=0)
        pose = torch.eye(4)
        pose[:3] = torch.stack([right, torch.linalg.cross(forward, right), forward, position], 1)
        cameras.append(Camera(intrinsics, pose, WIDTH, 3 * WIDTH // 4))
    return cameras


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gaussians", type=Path, help="A .ply, .compressed.ply, .spz or .splat file.")
    parser.add_argument("--cameras", type=Path, help="Its cameras.json, transforms.json or COLMAP folder.")
    parser.add_argument("--out", type=Path, default=Path("eig_for_any_3dgs.png"), help="The picture that is written.")
    options = parser.parse_args(argv)
    if (options.gaussians is None) != (options.cameras is None):
        parser.error("--gaussians and --cameras belong together")
    if options.gaussians is None:
        scene, cameras = made_scene(), orbit(NUM_CAMERAS)
    else:
        scene = scene_before_color(import_gaussians(options.gaussians))
        posed = read_cameras(options.cameras)
        cameras = [camera_of_file(camera, WIDTH) for camera in posed[:: math.ceil(len(posed) / NUM_CAMERAS)]]
    seen, new = cameras[: len(cameras) // 2], cameras[len(cameras) // 2 :]

    # With the pictures that were taken, whole_view(camera, image=picture): what the scene cannot explain counts less.
    field = EigField.fit(scene, [whole_view(camera) for camera in seen])
    for name, group in (("seen", seen), ("new", new)):
        eig, renders, _ = field.volume(group)
        for index, nats in enumerate(eig.eig_nats):
            rms = float(eig.expected_sq_error[index].mean().sqrt())
            print(f"{name} camera {index}: {nats.mean():.2f} nats a pixel, expected error {rms:.3f}")
    for view in field.rank(new, 2):
        print(f"record next: new camera {view.candidate.name} (adds {view.marginal_nats:.0f} nats)")
    eig, renders, _ = field.volume([seen[len(seen) // 2], *new[:: max(1, len(new) // 3)]])
    rows = torch.cat([renders, colorize_eig(eig.eig_nats, EIG_RANGE_NATS)], 1)
    write_image(options.out, torch.cat([*rows], 1))
    print(f"wrote {options.out}")


if __name__ == "__main__":
    run_tool(main)
