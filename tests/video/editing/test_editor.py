from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny_generator import tiny_generator, tiny_window

from faithfusion.clips.windows import Span, slice_window
from faithfusion.types import Window
from faithfusion.utils.image_math import psnr_db
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.editing.editor_config import SamplerConfig, VideoEditorConfig
from faithfusion.video.editing.video_editor import VideoEditor

CONFIG = VideoEditorConfig(sampler=SamplerConfig(steps=2), window_frames=9, overlap_frames=5)


def untrained_editor(**changes: object) -> VideoEditor:
    """Random weights: as adversarial an editor as the real class can be."""
    return VideoEditor(tiny_generator(trained=True), dataclasses.replace(CONFIG, **changes), ErrorProfile())


@pytest.mark.parametrize(("frames", "height", "width"), [(1, 16, 16), (7, 37, 50), (14, 20, 33)])
def test_any_length_and_size_comes_back_as_it_went_in(frames: int, height: int, width: int) -> None:
    window = tiny_window(frames, height, width)
    output = untrained_editor().edit(window).frames
    assert output.shape == window.render.shape
    assert output.min() >= 0 and output.max() <= 1 and torch.isfinite(output).all()
    assert torch.equal(output, untrained_editor().edit(window).frames)


@pytest.mark.parametrize("frames", [9, 21])
def test_the_lowest_eig_decile_is_faithful_and_the_highest_is_edited(frames: int) -> None:
    window = tiny_window(frames, 32, 64)
    output = untrained_editor().edit(window).frames
    eig = window.eig.eig_nats
    assert psnr_db(output, window.render, eig <= eig.flatten().quantile(0.1)) >= 45.0
    assert psnr_db(output, window.render, eig >= eig.flatten().quantile(0.9)) < 30.0


def test_known_frames_are_returned_untouched() -> None:
    window = tiny_window(9, 32, 32)
    window.known[:5] = True
    output = untrained_editor().edit(window).frames
    assert torch.equal(output[:5], window.render[:5])
    assert not torch.equal(output[5:], window.render[5:])


def test_later_windows_see_the_finished_frames_of_earlier_ones_as_known() -> None:
    class Recorder(VideoEditor):
        def generate(self, window: Window, name: str = "0") -> torch.Tensor:
            seen.append((name, window))
            return super().generate(window, name)

    seen: list[tuple[str, Window]] = []
    window = tiny_window(13, 32, 32)
    edited = Recorder(tiny_generator(trained=True), CONFIG, ErrorProfile()).edit(window)
    alone = untrained_editor().edit(slice_window(window, Span(0, 9)))
    first = alone.frames
    assert [name for name, _ in seen] == ["0", "4"]
    second = seen[1][1]
    assert second.known.tolist() == [True] * 5 + [False] * 4
    assert torch.equal(second.render[:5], first[4:]) and not torch.equal(first[4:], window.render[4:9])
    assert torch.equal(second.render[5:], window.render[9:])
    assert torch.equal(edited.frames[:9], first) and torch.equal(edited.edit[:9], alone.edit), "history stays"
    assert not torch.equal(edited.frames[9:], window.render[9:])


def test_a_certain_clip_keeps_the_detail_the_codec_would_lose() -> None:
    window = tiny_window(5, 16, 16)
    window.eig.expected_sq_error.zero_()
    kept = untrained_editor(keep_detail=True).generate(window)
    lost = untrained_editor(keep_detail=False).generate(window)
    torch.testing.assert_close(kept, window.render, atol=1e-5, rtol=0)
    assert psnr_db(lost, window.render) < 30.0
