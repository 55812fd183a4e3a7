from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_clip import write_tiny_clip
from tiny_generator import tiny_window
from torch import Tensor

from faithfusion.data.drive_reader import read_drive
from faithfusion.distill.weights.context import SceneContext, WeightContext, recorded_sq_error
from faithfusion.distill.weights.registry import weight_of
from faithfusion.eig.published import bin_weight
from faithfusion.fit.supervised_view import ViewLoader
from faithfusion.render.render_view import render_view
from faithfusion.scene.initialise import initialise_scene
from faithfusion.scene.scene_config import InitialiseConfig
from faithfusion.types import Window
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.editor import EditedClip


def edited_of(window) -> EditedClip:
    gain = torch.rand(window.render.shape[:3])
    return EditedClip(window.render, window.render, gain, gain)


def weighted(name: str, window: Window, edited: EditedClip, **known: object) -> Tensor:
    """A weight that is told what it would have to compute of a scene and a drive."""
    of_scene, context = object.__new__(SceneContext), object.__new__(WeightContext)
    vars(of_scene).update(known)
    vars(context).update(known, of_scene=of_scene)
    return weight_of(name).of(window, edited, context)


def test_kalman_is_the_editors_gain_and_uniform_is_one() -> None:
    window = tiny_window()
    edited = edited_of(window)
    assert torch.equal(weighted("kalman", window, edited), edited.gain)
    assert torch.equal(weighted("uniform", window, edited), torch.ones_like(edited.gain))


def test_likelihood_is_what_the_edit_adds_times_the_ratio_of_scales() -> None:
    window = tiny_window()
    gain, error = torch.rand(2, *window.render.shape[:3])
    edited = EditedClip(window.render, window.render, gain, 0.01 * error)
    weight = weighted("likelihood", window, edited, recorded_sq_error=0.004)
    t, y, x = 3, 5, 11
    assert float(weight[t, y, x]) == pytest.approx(
        float(gain[t, y, x]) * min(1.0, (0.4 / float(error[t, y, x])) ** 0.5)
    )
    level = weighted("level", window, edited, recorded_sq_error=0.004)
    torch.testing.assert_close(level, weight.mean().expand_as(weight))
    exact = EditedClip(window.render, window.render, gain, 0.0 * error)
    torch.testing.assert_close(weighted("likelihood", window, exact, recorded_sq_error=0.004), gain)


def test_error_of_the_recorded_images_by_hand(tmp_path: Path) -> None:
    clip = read_drive(write_tiny_clip(tmp_path / "clip", num_frames=5))
    scene = initialise_scene(clip, clip.frames, InitialiseConfig(max_gaussians=200, sky_height=8, num_frames=4))
    recorded = ViewLoader(clip, clip.frames[:3])
    total, count = 0.0, 0.0
    for view in (recorded.view(index) for index in range(3)):
        color = render_view(scene, view.camera, view.time_index).color.clamp(0, 1)
        fitted = view.pixel_weight > 0
        total += float((color - view.image)[fitted].square().mean(-1).sum())
        count += int(fitted.sum())
    assert recorded_sq_error(scene, recorded) == pytest.approx(total / count, rel=1e-5)
    with pytest.raises(InputError, match="no recorded pixels"):
        recorded_sq_error(scene, ViewLoader(clip, []))


def test_every_camera_of_a_rig_tells_the_error_of_the_recorded_images(tmp_path: Path) -> None:
    """Every second of these 36 views is one camera's."""
    root = write_tiny_clip(tmp_path / "clip", num_frames=18)
    clip = read_drive(root)
    scene = initialise_scene(clip, clip.frames, InitialiseConfig(max_gaussians=200, sky_height=8, num_frames=4))
    errors = [recorded_sq_error(scene, ViewLoader(clip, clip.frames))]
    for name in clip.camera_names:
        for path in root.glob(f"images/*_{name}.jpg"):
            Image.new("RGB", (32, 24)).save(path)
        errors.append(recorded_sq_error(scene, ViewLoader(clip, clip.frames)))
    assert 1.1 * errors[0] < errors[1] < errors[2] / 1.1


def test_weights_that_know_the_truth() -> None:
    window = tiny_window()
    better = torch.lerp(window.render, window.truth, 0.75)
    edited = EditedClip(better, better, *torch.zeros(2, *window.render.shape[:3]))
    ones = torch.ones(window.render.shape[:3])
    torch.testing.assert_close(weighted("oracle", window, edited, recorded_sq_error=1.0), ones)
    worse = EditedClip(*[2.0 * window.render - window.truth] * 2, *torch.zeros(2, *window.render.shape[:3]))
    assert weighted("oracle", window, worse, recorded_sq_error=0.004).max() == 0.0
    truth = window.render + 0.1 * torch.tensor([1.0, 0.0, 0.0])
    edit = window.render + 0.1 * torch.tensor([1.0, 1.0, 0.0])  # best halfway: (0.05, -0.05, 0) are left
    edited, window = EditedClip(edit, edit, ones, ones), dataclasses.replace(window, truth=truth)
    weight = weighted("oracle", window, edited, recorded_sq_error=0.0005)
    torch.testing.assert_close(weight, 0.5 * (0.0005 / (0.005 / 3.0)) ** 0.5 * ones, rtol=1e-3, atol=0.0)
    with pytest.raises(InputError, match="oracle without a true clip"):
        weighted("oracle", dataclasses.replace(window, truth=None), edited, recorded_sq_error=0.004)


def test_plain_eig_is_normalised_by_the_clip() -> None:
    window = tiny_window()
    weight = weighted("eig", window, edited_of(window))
    full = window.eig.eig_nats.flatten().quantile(0.99)
    torch.testing.assert_close(weight, (window.eig.eig_nats / full).clamp(max=1.0))
    assert weight.max() == 1.0 and weight.min() < 0.01


def test_bins_are_those_of_the_released_code() -> None:
    gain = torch.tensor([0.0, 0.049, 0.05, 0.19, 0.2, 0.99, 1.0, 100.0])
    torch.testing.assert_close(bin_weight(gain), torch.tensor([0.1, 0.1, 0.3, 0.3, 0.7, 0.7, 1.0, 1.0]))
    window = tiny_window()
    maps = torch.rand(window.render.shape[:3])
    assert torch.equal(weighted("published_map", window, edited_of(window), published_gain=maps), bin_weight(maps))
