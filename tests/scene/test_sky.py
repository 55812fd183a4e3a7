"""Sky texture: convention, wrap-around and gradient against a slow per-ray twin."""

import math

import torch

from faithfusion.scene.sky import ray_directions, sample_sky, sky_background, sky_coordinates
from faithfusion.types import Camera, Sky


def slow_sample(texture: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """One ray, bilinear by hand."""
    height, width, _ = texture.shape
    x, y, z = (direction / direction.norm()).tolist()
    column = (math.atan2(y, x) % (2 * math.pi)) / (2 * math.pi) * width - 0.5
    row = min(max(math.acos(z) / math.pi * height - 0.5, 0.0), height - 1.0)
    j, i = math.floor(column), math.floor(row)
    a, b = column - j, row - i
    below = min(i + 1, height - 1)
    top = (1 - a) * texture[i, j % width] + a * texture[i, (j + 1) % width]
    bottom = (1 - a) * texture[below, j % width] + a * texture[below, (j + 1) % width]
    return (1 - b) * top + b * bottom


def test_matches_the_slow_twin_with_gradient() -> None:
    texture = torch.rand(6, 10, 3, dtype=torch.float64, requires_grad=True)
    directions = torch.randn(4, 25, 3, dtype=torch.float64)
    weight = torch.rand(4, 25, 3, dtype=torch.float64)
    fast = sample_sky(Sky(texture), directions)
    slow = torch.stack([slow_sample(texture, d) for d in directions.reshape(-1, 3)]).reshape(4, 25, 3)
    torch.testing.assert_close(fast, slow)
    (fast_grad,) = torch.autograd.grad((fast * weight).sum(), texture)
    (slow_grad,) = torch.autograd.grad((slow * weight).sum(), texture)
    torch.testing.assert_close(fast_grad, slow_grad)


def test_axes_follow_the_convention() -> None:
    directions = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    coordinates = sky_coordinates(directions, 16, 32)
    assert coordinates[0, 1] == 0
    torch.testing.assert_close(coordinates[1:], torch.tensor([[0.0, 8.0], [8.0, 8.0], [16.0, 8.0]]))


def test_background_of_a_camera_looking_along_x() -> None:
    world_from_camera = torch.eye(4)
    world_from_camera[:3, :3] = torch.tensor([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    camera = Camera(torch.tensor([[50.0, 0, 20], [0, 50, 10], [0, 0, 1]]), world_from_camera, 40, 20)
    centre = ray_directions(camera)[9:11, 19:21].mean((0, 1))
    torch.testing.assert_close(centre / centre.norm(), torch.tensor([1.0, 0, 0]))
    up = torch.linspace(1, 0, 32)[:, None, None].expand(32, 64, 3)
    image = sky_background(Sky(up), camera)
    assert image.shape == (20, 40, 3) and image[0].mean() > image[-1].mean()
