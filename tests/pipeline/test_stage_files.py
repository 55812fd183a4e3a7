from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny_generator import tiny_window

from faithfusion.pipeline.stage_files import StageClip, load_stage_clip, save_stage_clip
from faithfusion.video.editing.editor import EditedClip


@pytest.mark.parametrize("full", [False, True])
def test_clips_survive_the_disk(tmp_path: Path, full: bool) -> None:
    window = tiny_window(poses=full, warped=2 if full else 0)
    window.known[0] = True
    window = window if full else dataclasses.replace(window, truth=None)
    window.eig.expected_sq_error.mul_(1e-6)  # float16 would lose them
    gain = torch.rand(window.render.shape[:3])
    edited = EditedClip(window.render.flip(0), window.render.flip(1), gain, 1e-6 * gain) if full else None
    save_stage_clip(tmp_path / "clip.safetensors", StageClip("+3 m", window, edited))
    again = load_stage_clip(tmp_path / "clip.safetensors")
    assert again.name == "+3 m" and (again.edited is None) == (edited is None)
    pairs = [(window, again.window), (edited, again.edited)] if full else [(window, again.window)]
    for before, after in pairs:
        compare(before, after)
    assert torch.equal(again.window.eig.expected_sq_error, window.eig.expected_sq_error)
    if full:
        assert torch.equal(again.edited.gain, gain) and torch.equal(again.edited.sq_error, 1e-6 * gain)


def compare(before: object, after: object) -> None:
    """Every tensor of two nested dataclasses, to half a grey level."""
    for field in dataclasses.fields(before):
        value, found = getattr(before, field.name), getattr(after, field.name)
        assert type(value) is type(found), field.name
        if dataclasses.is_dataclass(value):
            compare(value, found)
        elif value is not None and value.is_floating_point():
            torch.testing.assert_close(found, value, atol=0.5 / 255, rtol=1e-3)
        elif value is not None:
            assert torch.equal(found, value)
