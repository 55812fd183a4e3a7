"""The first scene of a drive with everything, and of drives that lack LiDAR, boxes or masks."""

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny_clip import write_tiny_clip

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.lidar import project_points
from faithfusion.scene.coloring import color_points, shrink, visible_points
from faithfusion.scene.initialise import initialise_scene
from faithfusion.scene.plane_sweep import points_along_rays, sweep_depths
from faithfusion.scene.pointcloud import PointCloud
from faithfusion.scene.scene_config import InitialiseConfig
from faithfusion.types import Camera, Frame
from faithfusion.utils.errors import InputError
from faithfusion.utils.harmonics import SH_0
from faithfusion.utils.media import write_image

CONFIG = InitialiseConfig(max_gaussians=300, sky_height=16, num_frames=6)


def test_a_drive_with_everything(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "clip"))
    scene = initialise_scene(clip, clip.frames, CONFIG)
    gaussians = scene.gaussians
    assert 50 < gaussians.num <= 300 and len(scene.node_ids) == gaussians.num
    assert len(scene.nodes) == 1 and (scene.node_ids == 1).any()
    car = gaussians.means[scene.node_ids == 1]
    assert (car.abs() <= scene.nodes[0].size_m / 2 + 0.3).all()
    for field in dataclasses.fields(gaussians):
        assert torch.isfinite(getattr(gaussians, field.name)).all(), field.name
    rgb = 0.5 + SH_0 * gaussians.colors[:, 0]
    assert rgb.min() >= -1e-5 and rgb.max() <= 1 + 1e-5 and rgb.std() > 0.05
    assert scene.sky.texture.shape == (16, 32, 3)


def test_the_same_seed_gives_the_same_scene(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "clip"))
    first, second = (initialise_scene(clip, clip.frames, CONFIG) for _ in range(2))
    assert torch.equal(first.gaussians.means, second.gaussians.means)
    other = initialise_scene(clip, clip.frames, CONFIG, seed=1)
    assert not torch.equal(first.gaussians.means[-20:], other.gaussians.means[-20:])


def test_a_bare_drive_starts_from_a_random_cloud_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "clip", optional=False))
    scene = initialise_scene(clip, clip.frames, CONFIG)
    assert scene.gaussians.num > 100 and not scene.nodes
    said = capsys.readouterr().err
    assert "no LiDAR" in said and "no sky masks" in said and "no boxes" in said
    seen = torch.zeros(scene.gaussians.num, dtype=torch.bool)
    for frame in clip.frames:
        seen |= project_points(scene.gaussians.means, frame.camera)[2]
    assert seen.all()


def test_no_frames_are_refused(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "clip"))
    with pytest.raises(InputError, match="no training frames"):
        initialise_scene(clip, [], CONFIG)
    with pytest.raises(InputError, match="share"):
        InitialiseConfig(far_fraction=1.5)


def make_frame(folder: Path, centre: tuple[float, float, float], image: torch.Tensor, t: int) -> Frame:
    """A camera that looks along +x."""
    height, width = image.shape[:2]
    pose = torch.eye(4)
    pose[:3, :3] = torch.tensor([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    pose[:3, 3] = torch.tensor(centre)
    intrinsics = torch.tensor([[width * 1.0, 0, width / 2], [0, width * 1.0, height / 2], [0, 0, 1]])
    folder.mkdir(exist_ok=True, parents=True)
    write_image(folder / f"{t}.png", image)
    return Frame(t, "0", Camera(intrinsics, pose, width, height), folder / f"{t}.png")


def test_hidden_points_do_not_take_the_colour_of_what_hides_them(tmp_path: Path) -> None:
    image = torch.zeros(32, 32, 3)
    image[:, 16:] = 1.0
    frame = make_frame(tmp_path / "images", (0, 0, 0), image, 0)
    points = torch.tensor([[5.0, 1.0, 0.1], [9.0, 1.8, 0.18], [5.0, -1.0, 0.0], [-5.0, 0.0, 0.0]])
    visible = visible_points(points, torch.ones(4, dtype=torch.bool), frame.camera)
    assert visible.tolist() == [0, 2]
    colors, seen = color_points(PointCloud(points, torch.zeros(4, dtype=torch.long)), (), [frame])
    assert seen.tolist() == [True, False, True, False]
    torch.testing.assert_close(colors[[0, 2]], torch.tensor([[0.0, 0, 0], [1, 1, 1]]))


def test_plane_sweep_finds_a_textured_wall(tmp_path: Path) -> None:
    wall_x = 20.0

    def picture(centre: tuple[float, float, float]) -> torch.Tensor:
        frame = make_frame(tmp_path / "probe", centre, torch.zeros(64, 64, 3), 99)
        row, column = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
        wall = points_along_rays(frame.camera, row, column, torch.full((64, 64), wall_x - centre[0]))
        y, z = wall[..., 1], wall[..., 2]
        return torch.stack([torch.sin(1.3 * y + z), torch.cos(0.9 * z - 0.4 * y), torch.sin(0.7 * y * z)], -1) / 2 + 0.5

    centres = [(0.0, 0.0, 0.0), (4.0, 0.5, 0.0), (-4.0, -0.5, 0.0)]
    frames = [make_frame(tmp_path / "images", centre, picture(centre), t) for t, centre in enumerate(centres)]
    row, column = torch.randint(12, 52, (2, 60))
    candidates = torch.tensor([10.0, 14.0, 20.0, 30.0, 60.0]).repeat(60, 1)
    depth, cost = sweep_depths(frames[0], frames[1:], row, column, candidates)
    assert (depth == 20.0).float().mean() > 0.9 and cost.median() < 0.03


def test_shrunk_camera_covers_every_pixel(tmp_path: Path) -> None:
    camera = make_frame(tmp_path / "images", (0, 0, 0), torch.zeros(30, 41, 3), 0).camera
    small = shrink(camera, 8)
    assert (small.height, small.width) == (4, 6)
    points = torch.randn(500, 3) * torch.tensor([5.0, 3, 3]) + torch.tensor([10.0, 0, 0])
    uv, _, inside = project_points(points, camera)
    uv_small, _, inside_small = project_points(points, small)
    torch.testing.assert_close(uv_small[inside], uv[inside] / 8)
    assert inside_small[inside].all()
