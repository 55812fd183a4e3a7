from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny_fixer import tiny_fixer, warped_window

from faithfusion.types import EigVolume
from faithfusion.utils.errors import InputError
from faithfusion.utils.image_math import psnr_db
from faithfusion.video.editing.composite import ErrorProfile, faithful_floor, kalman_gain
from faithfusion.video.editing.editor_config import CompositeConfig, FixerEditorConfig
from faithfusion.video.fixer.fixer_editor import FixerEditor
from faithfusion.video.model.fixers.fixer import fixer_inputs

PROFILE = ErrorProfile((1e-6, 1e-3, 1.0), (1e-4, 1e-2))


def untrained_editor(**changes: object) -> FixerEditor:
    """Random weights: as adversarial a fixer as there can be."""
    return FixerEditor(tiny_fixer(trained=True), FixerEditorConfig(**changes), PROFILE)


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 16, 16), (7, 37, 50)])
def test_any_length_and_size_comes_back_as_it_went_in(frames: int, height: int, width: int) -> None:
    clip = untrained_editor().edit(warped_window(frames, height, width))
    assert clip.frames.shape == clip.edit.shape == (frames, height, width, 3)
    for frames_of in (clip.frames, clip.edit):
        assert frames_of.min() >= 0 and frames_of.max() <= 1 and torch.isfinite(frames_of).all()


def test_known_frames_are_returned_untouched() -> None:
    window = warped_window(6)
    window.known[[0, 3]] = True
    clip = untrained_editor(frames_at_once=2).edit(window)
    known = window.known
    assert torch.equal(clip.frames[known], window.render[known]) and not clip.gain[known].any()
    assert torch.equal(clip.edit[known], window.render[known])
    assert all(not torch.equal(clip.frames[t], window.render[t]) for t in (1, 2, 4, 5))


def test_the_best_known_pixels_are_exact_and_the_worst_are_edited() -> None:
    window = warped_window(3, 32, 64)
    output, error = untrained_editor().edit(window).frames, window.eig.expected_sq_error
    floor = faithful_floor(error, CompositeConfig())
    kept = error <= floor
    assert kept.float().mean() > 0.1 and torch.equal(output[kept], window.render[kept])
    assert psnr_db(output, window.render, error >= error.flatten().quantile(0.9)) < 30.0


def test_the_result_is_the_composite_with_the_kalman_gain() -> None:
    window = warped_window(2)
    editor = untrained_editor()
    clip, error = editor.edit(window), window.eig.expected_sq_error
    gain = kalman_gain(error, PROFILE, faithful_floor(error, CompositeConfig()))
    assert torch.equal(clip.gain, gain) and torch.equal(clip.edit, editor.generate(window))
    mixed = (1.0 - gain[..., None]) * window.render + gain[..., None] * clip.edit
    torch.testing.assert_close(clip.frames, mixed)


def test_frames_are_fixed_one_by_one() -> None:
    window = warped_window(5)
    whole = untrained_editor(frames_at_once=5).generate(window)
    torch.testing.assert_close(untrained_editor(frames_at_once=1).generate(window), whole)
    single = untrained_editor().fixer(fixer_inputs(window)).clamp(0, 1).permute(0, 2, 3, 1)
    torch.testing.assert_close(whole, single)


def test_a_certain_clip_is_not_touched() -> None:
    window = warped_window(2)
    zero = torch.zeros_like(window.depth)
    certain = dataclasses.replace(window, eig=EigVolume(zero, zero, torch.ones_like(zero)))
    assert torch.equal(untrained_editor().edit(certain).frames, window.render)


@pytest.mark.usefixtures("unchecked")
def test_parts_of_another_size_are_refused() -> None:
    window = warped_window(2)
    with pytest.raises(InputError, match="depth"):
        untrained_editor().edit(dataclasses.replace(window, depth=window.depth[:, 1:]))
