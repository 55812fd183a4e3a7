"""Framing against the projection of points; what counts as true."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from reference.cloud import make_camera
from tiny_clip import write_tiny_clip
from tiny_generator import tiny_window

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.images import load_ego_mask, load_image
from faithfusion.types import Camera
from faithfusion.utils.errors import InputError
from faithfusion.window.framing import TrueFrame, brightness_gain, framed_to, framing_of, recorded_truth, with_truth
from faithfusion.window.framing_config import FramingConfig


def project(camera: Camera, point: torch.Tensor) -> torch.Tensor:
    """Pixel of a world point, the slow way."""
    local = camera.camera_from_world @ torch.cat([point, torch.ones(1)])
    pixel = camera.intrinsics @ local[:3]
    return pixel[:2] / pixel[2]


@pytest.mark.parametrize("downscale", [1, 2, 3])
@pytest.mark.parametrize("sides", ["crop", "pad"])
def test_a_point_keeps_its_pixel(downscale: int, sides: str) -> None:
    camera = dataclasses.replace(make_camera(205, 99), name="front")
    framing = framing_of(camera, FramingConfig(downscale, sides))
    height, width = framing.size
    assert height % 16 == 0 and width % 16 == 0
    assert abs(height - 99 // downscale) < 16 and abs(width - 205 // downscale) < 16
    x, y = torch.meshgrid(torch.arange(205.0), torch.arange(99.0), indexing="xy")
    framed = framing.image(torch.stack([x, y, 0 * x], -1))
    small = framing.camera(camera)
    assert (small.height, small.width, small.name) == (height, width, "front")
    compared = 0
    for _ in range(200):
        local = torch.cat([torch.rand(2) * 6 - 3, torch.tensor([4.0, 1.0])])
        point = (camera.world_from_camera @ local)[:3]
        u, v = project(small, point).floor().long().tolist()
        if 0 <= u < framing.real_columns and 0 <= v < framing.real_rows:
            recorded = framed[v, u, :2] + 0.5  # the mean place of the block's pixels
            assert (recorded - project(camera, point)).abs().max() <= downscale / 2 + 1e-3
            compared += 1
    assert compared > 20


def test_padding_repeats_pixels_and_is_not_real() -> None:
    camera = make_camera(20, 10)
    framing = framing_of(camera, FramingConfig(sides="pad"))
    assert framing.size == (16, 32)
    image = torch.rand(10, 20, 3)
    framed = framing.image(image)
    assert torch.equal(framed[:10, :20], image) and torch.equal(framed[3, 20], image[3, 18])
    mask = framing.mask(torch.ones(10, 20, dtype=torch.bool))
    assert mask[:10, :20].all() and mask.sum() == 200
    assert torch.equal(framing.camera(camera).intrinsics, camera.intrinsics)


def test_a_block_is_real_only_if_all_its_pixels_are() -> None:
    mask = torch.ones(32, 64, dtype=torch.bool)
    mask[5, 9] = False
    framed = framing_of(make_camera(64, 32), FramingConfig(downscale=2)).mask(mask)
    assert framed.shape == (16, 32) and not framed[2, 4] and framed.sum() == framed.numel() - 1


def test_references_of_another_size_are_cut_or_filled_never_stretched() -> None:
    image = torch.rand(40, 30, 3)
    framing = framed_to(make_camera(30, 40), 1, 32, 48)
    framed = framing.image(image)
    assert framed.shape == (32, 48, 3) and torch.equal(framed[:, :30], image[4:36])
    assert torch.equal(framed[:, 30], image[4:36, 28])


def test_pictures_that_are_too_small_are_refused() -> None:
    with pytest.raises(InputError, match="downscale 4"):
        framing_of(make_camera(64, 48), FramingConfig(downscale=4))
    with pytest.raises(InputError, match="downscale"):
        FramingConfig(downscale=0)


def test_the_recording_vehicle_is_not_truth(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "clip", width=32, height=32))
    frame = clip.frame(2, "1")
    truth = recorded_truth(clip, frame, framing_of(frame.camera, FramingConfig()))
    assert torch.equal(truth.color, load_image(frame))
    ego = load_ego_mask(frame)
    assert ego.any() and not truth.valid[ego].any() and truth.valid.any()


def test_where_nothing_is_true_there_is_nothing_to_learn() -> None:
    window = dataclasses.replace(tiny_window(2, 16, 32), truth=None)
    valid = torch.rand(2, 16, 32) < 0.7
    colors = torch.rand(2, 16, 32, 3)
    paired = with_truth(window, [TrueFrame(*pair) for pair in zip(colors, valid, strict=True)])
    assert torch.equal(paired.truth[valid], colors[valid])
    assert torch.equal(paired.truth[~valid], window.render[~valid])
    for name in ("eig_nats", "expected_sq_error"):
        values = getattr(paired.eig, name)
        assert not values[~valid].any() and torch.equal(values[valid], getattr(window.eig, name)[valid])
    assert torch.equal(paired.eig.alpha, window.eig.alpha)


def test_brightness_is_matched_on_what_is_known_best() -> None:
    window = tiny_window(3, 16, 32)
    factor = torch.tensor([1.1, 0.9, 1.3])
    certain = window.eig.expected_sq_error <= window.eig.expected_sq_error.median()
    colors = torch.where(certain[..., None], window.render / factor, 5.0)
    valid = torch.ones(3, 16, 32, dtype=torch.bool)
    valid[0] = False
    colors[0] = 7.0
    truth = [TrueFrame(*pair) for pair in zip(colors, valid, strict=True)]
    torch.testing.assert_close(brightness_gain(window, truth), factor)
    assert torch.equal(
        brightness_gain(window, [TrueFrame(c, v & False) for c, v in zip(colors, valid, strict=True)]), torch.ones(3)
    )
    brighter = with_truth(window, truth, factor).truth
    torch.testing.assert_close(brighter[1:][certain[1:]], window.render[1:][certain[1:]])
