"""What the shared types compute themselves."""

from __future__ import annotations

import pytest
import torch

from faithfusion.types import Camera

INTRINSICS = torch.tensor([[50.0, 0.5, 31.5], [0.0, 60.0, 20.5], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [
        ((64, 48), None, INTRINSICS),
        ((32, 72), None, [[25.0, 0.25, 15.75], [0.0, 90.0, 30.75], [0.0, 0.0, 1.0]]),
        ((8, 6), (0.125, 0.125), [[6.25, 0.0625, 3.9375], [0.0, 7.5, 2.5625], [0.0, 0.0, 1.0]]),
        ((21, 16), (0.5, 0.25), [[25.0, 0.25, 15.75], [0.0, 15.0, 5.125], [0.0, 0.0, 1.0]]),
    ],
)
def test_a_camera_of_another_size_sees_the_same(size, scale, expected) -> None:
    camera = Camera(INTRINSICS, torch.eye(4), 64, 48, name="1")
    other = camera.resized(*size, scale=scale)
    assert (other.width, other.height, other.name) == (*size, "1")
    assert torch.equal(other.intrinsics, torch.as_tensor(expected))
    assert torch.equal(camera.intrinsics, INTRINSICS) and other.world_from_camera is camera.world_from_camera
