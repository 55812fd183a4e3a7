from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from tiny_fixer import moving_window, pictures, warped_window, write_warped_pairs
from tiny_generator import tiny_window
from tiny_training import fixed_generator

from faithfusion.clips.store import write_shard
from faithfusion.training.data import Pick, WindowRef, training_windows
from faithfusion.training.engine import start_processes
from faithfusion.training.fixer_data import BYTES, HALVES, FixerDataset, after_editor, decode_windows
from faithfusion.training.run_config import DataConfig
from faithfusion.training.topology import Topology
from faithfusion.types import Window
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.editor import EditedClip
from faithfusion.video.model.fixers.fixer import fixer_inputs
from faithfusion.video.model.fixers.neighbours import aligned


@pytest.fixture(scope="module")
def topology() -> Topology:
    return start_processes()


@pytest.fixture
def windows(tmp_path: Path) -> list[WindowRef]:
    return training_windows(DataConfig(train=str(write_warped_pairs(tmp_path / "pairs", 1))))


def test_a_whole_frame_is_what_the_shard_holds(windows: list[WindowRef], tmp_path: Path, topology: Topology) -> None:
    files = decode_windows(windows, tmp_path / "cache", 2, topology)
    batch = FixerDataset(files, height=99, width=99, num_views=2).batch([Pick(1, False)], fixed_generator())
    window = windows[1].read()
    expected, truth = fixer_inputs(window), window.truth.permute(0, 3, 1, 2)
    frames = [t for t in range(5) if torch.equal(truth[t], batch.truth[0])]
    assert len(frames) == 1
    for name, values in pictures(expected).items():
        assert torch.equal(getattr(batch.inputs, name)[0], values[frames[0]]), name


def test_crops_are_cut_alike_mirrored_and_drawn_from_the_generator(
    windows: list[WindowRef], tmp_path: Path, topology: Topology
) -> None:
    files = decode_windows(windows, tmp_path / "cache", 2, topology)
    dataset = FixerDataset(files, height=16, width=24, num_views=2)
    picks = [Pick(0, False), Pick(1, True)] * 8
    batch = dataset.batch(picks, fixed_generator(3))
    assert torch.equal(dataset.batch(picks, fixed_generator(3)).truth, batch.truth), "resuming repeats it"
    assert not torch.equal(dataset.batch(picks, fixed_generator(4)).truth, batch.truth)
    places = set()
    for row, pick in enumerate(picks):
        window = windows[pick.item].read()
        whole = fixer_inputs(window)
        whole_truth = window.truth.permute(0, 3, 1, 2)
        seen = batch.truth[row].flip(-1) if pick.flip else batch.truth[row]
        found = [
            (t, y, x)
            for t in range(5)
            for y in range(17)
            for x in range(25)
            if torch.equal(whole_truth[t, :, y : y + 16, x : x + 24], seen)
        ]
        assert len(found) == 1
        t, y, x = found[0]
        for name, values in pictures(whole).items():
            crop, expected = getattr(batch.inputs, name)[row], values[t, ..., y : y + 16, x : x + 24]
            assert torch.equal(crop.flip(-1) if pick.flip else crop, expected), name
        places.add(found[0])
    assert len(places) > 8 and len({t for t, _, _ in places}) > 2


@pytest.mark.parametrize("flip", [False, True])
def test_crops_of_clips_keep_the_cameras_of_their_pictures(tmp_path: Path, topology: Topology, flip: bool) -> None:
    write_shard(tmp_path / "pairs/moving.safetensors", [moving_window(7)])
    files = decode_windows(training_windows(DataConfig(train=str(tmp_path / "pairs"))), tmp_path / "cache", 2, topology)
    dataset = FixerDataset(files, num_frames=3, height=16, width=24, num_views=2)
    batch = dataset.batch([Pick(0, flip)] * 6, fixed_generator())
    assert batch.inputs.num_frames == 3 and len(batch.truth) == 18
    window = training_windows(DataConfig(train=str(tmp_path / "pairs")))[0].read()
    whole, starts = fixer_inputs(window), set()
    places = aligned(whole.depth_m, whole.poses, 7, (1,), 1)
    found = aligned(batch.inputs.depth_m, batch.inputs.poses, 3, (1,), 1)
    truth = window.truth.permute(0, 3, 1, 2)
    for clip in range(6):
        seen = batch.truth[3 * clip].flip(-1) if flip else batch.truth[3 * clip]
        (t, y, x) = next(
            (t, y, x)
            for t in range(5)
            for y in range(17)
            for x in range(25)
            if torch.equal(truth[t, :, y : y + 16, x : x + 24], seen)
        )
        starts.add((t, y, x))
        uv = (places.grid[t, 0, y : y + 16, x : x + 24] + 1.0) / 2.0 * torch.tensor([48, 32]) - torch.tensor([x, y])
        grid = found.grid[3 * clip, 0].flip(1) if flip else found.grid[3 * clip, 0]
        crop_uv = (grid + 1.0) / 2.0 * torch.tensor([24, 16])
        if flip:
            crop_uv[..., 0] = 24 - crop_uv[..., 0]
        torch.testing.assert_close(crop_uv, uv, atol=5e-3, rtol=1e-4)
    assert len(starts) > 3


def test_clips_need_enough_frames_and_cameras(windows: list[WindowRef], tmp_path: Path, topology: Topology) -> None:
    files = decode_windows(windows, tmp_path / "cache", 2, topology)
    with pytest.raises(InputError, match=r"a window of 5 frames.*with cameras"):
        FixerDataset(files, num_frames=3, height=16, width=16, num_views=2).batch([Pick(0, False)], fixed_generator())


def test_windows_without_views_get_untrusted_ones(tmp_path: Path, topology: Topology) -> None:
    write_shard(tmp_path / "pairs/old.safetensors", [tiny_window(), warped_window()])
    refs = training_windows(DataConfig(train=str(tmp_path / "pairs")))
    files = decode_windows(refs, tmp_path / "cache", 2, topology)
    picks = [Pick(0, False), Pick(1, False)]
    batch = FixerDataset(files, height=16, width=16, num_views=2).batch(picks, fixed_generator())
    assert not batch.inputs.trust[0].any() and batch.inputs.trust[1].any()


def test_decoded_windows_are_kept(windows: list[WindowRef], tmp_path: Path, topology: Topology) -> None:
    files = decode_windows(windows, tmp_path / "cache", 2, topology)
    times = [path.stat().st_mtime_ns for path in files]
    assert [path.stat().st_mtime_ns for path in decode_windows(windows, tmp_path / "cache", 2, topology)] == times
    fewer = decode_windows(windows, tmp_path / "cache", 1, topology)
    assert not set(fewer) & set(files)


class HalfWay:
    """An editor that goes half of the way to the truth in the upper half of the image."""

    def edit(self, window: Window) -> EditedClip:
        gain = torch.zeros(window.render.shape[:3])
        gain[:, : gain.shape[1] // 2] = 0.5
        frames = torch.lerp(window.render, window.truth, gain[..., None])
        return EditedClip(frames, window.truth, gain, (1.0 - gain).square() * window.eig.expected_sq_error)


def test_clips_of_the_video_model_stand_for_the_render(
    windows: list[WindowRef], tmp_path: Path, topology: Topology
) -> None:
    plain = decode_windows(windows, tmp_path / "cache", 2, topology)
    files = decode_windows(windows, tmp_path / "cache", 2, topology, before=after_editor(HalfWay(), "half way"))
    assert not set(plain) & set(files)
    other = decode_windows(windows, tmp_path / "cache", 2, topology, before=after_editor(HalfWay(), "another"))
    assert not set(files) & set(other), "clips of other weights are other files"
    window = windows[0].read()
    edited = HalfWay().edit(window)
    with safe_open(files[0], framework="pt") as file, safe_open(plain[0], framework="pt") as as_rendered:
        colors, volumes = file.get_tensor(BYTES), file.get_tensor(HALVES)
        expected = (255.0 * edited.frames).round().to(torch.uint8).permute(0, 3, 1, 2)
        assert torch.equal(colors[:, :3], expected)
        assert torch.equal(colors[:, 3:], as_rendered.get_tensor(BYTES)[:, 3:])
        assert torch.equal(volumes[:, 0], edited.sq_error.half())
        assert torch.equal(volumes[:, 1:], as_rendered.get_tensor(HALVES)[:, 1:])


def test_windows_that_cannot_be_trained_on_are_refused(tmp_path: Path, topology: Topology) -> None:
    write_shard(tmp_path / "a/blind.safetensors", [dataclasses.replace(tiny_window(), truth=None)])
    with pytest.raises(InputError, match="no true clip"):
        decode_windows(training_windows(DataConfig(train=str(tmp_path / "a"))), tmp_path / "cache", 2, topology)
    write_shard(tmp_path / "b/mixed.safetensors", [warped_window(), warped_window(5, 48, 48)])
    files = decode_windows(training_windows(DataConfig(train=str(tmp_path / "b"))), tmp_path / "cache", 2, topology)
    dataset = FixerDataset(files, height=99, width=99, num_views=2)
    with pytest.raises(InputError, match="one size, or smaller crops"):
        dataset.batch([Pick(0, False), Pick(1, False)], fixed_generator())
