from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny_generator import tiny_window

from faithfusion.pipeline.stage_files import StageClip, as_stored, kept_window, load_stage_clip, save_stage_clip
from faithfusion.scene.scene_file import load_tensors, save_tensors
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.composite import composite
from faithfusion.video.editing.editor import EditedClip


@pytest.mark.parametrize("full", [False, True])
def test_clips_survive_the_disk(tmp_path: Path, full: bool) -> None:
    window = tiny_window(poses=full, warped=2 if full else 0)
    window.known[0] = True
    cameras = tuple(dataclasses.replace(camera, name="left") for camera in window.cameras)
    window = dataclasses.replace(window, cameras=cameras, truth=window.truth if full else None)
    window.eig.expected_sq_error.mul_(1e-6)  # float16 would lose them
    gain, edit = torch.rand(window.render.shape[:3]), window.render.flip(1)
    edited = EditedClip(composite(window.render, edit, gain), edit, gain, 1e-6 * gain) if full else None
    save_stage_clip(tmp_path / "clip.safetensors", StageClip("+3 m", window, edited))
    again = load_stage_clip(tmp_path / "clip.safetensors")
    assert again.name == "+3 m" and (again.edited is None) == (edited is None)
    if full:
        compare(edited, again.edited)
        assert again.window.warped is None and not again.window.reference_cameras  # what only editors read
        window = dataclasses.replace(window, warped=None, references=window.references[:0], reference_cameras=())
    compare(window, again.window)
    assert torch.equal(again.window.eig.expected_sq_error, window.eig.expected_sq_error)
    if full:
        assert torch.equal(again.edited.gain, gain) and torch.equal(again.edited.sq_error, 1e-6 * gain)


def test_an_editor_sees_the_same_whether_the_window_was_read_or_not(tmp_path: Path) -> None:
    window = tiny_window(poses=True, warped=2)
    save_stage_clip(tmp_path / "window.safetensors", StageClip("+3 m", window))
    read, kept = load_stage_clip(tmp_path / "window.safetensors").window, as_stored(window)
    for name in ("render", "depth", "references"):
        assert torch.equal(getattr(read, name), getattr(kept, name))
    assert torch.equal(read.warped.colors, kept.warped.colors)
    assert torch.equal(read.eig.expected_sq_error, window.eig.expected_sq_error)


def test_a_kept_window_of_another_stage_or_version_is_rendered_anew(tmp_path: Path) -> None:
    path, windows = tmp_path / "window.safetensors", [tiny_window(seed=seed) for seed in range(3)]
    for key, made, expected in (("a", 0, 0), ("a", 1, 0), ("b", 1, 1)):
        found = kept_window(path, key, lambda made=made: windows[made])
        compare(windows[expected], found)
    tensors, header = load_tensors(path)
    save_tensors(path, tensors, {"name": header["name"]})  # as the version before wrote it
    with pytest.raises(InputError, match="format None; expected .*run the command again"):
        load_stage_clip(path)
    compare(windows[2], kept_window(path, "b", lambda: windows[2]))


def compare(before: object, after: object) -> None:
    """Every tensor of two nested dataclasses, to half a grey level, and everything else exactly."""
    for field in dataclasses.fields(before):
        value, found = getattr(before, field.name), getattr(after, field.name)
        assert type(value) is type(found), field.name
        if dataclasses.is_dataclass(value):
            compare(value, found)
        elif field.name.endswith("cameras"):
            for camera, again in zip(value, found, strict=True):
                compare(camera, again)
        elif isinstance(value, torch.Tensor) and value.is_floating_point():
            torch.testing.assert_close(found, value, atol=0.5 / 255, rtol=1e-3)
        else:
            assert torch.equal(found, value) if isinstance(value, torch.Tensor) else found == value
