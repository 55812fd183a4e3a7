from __future__ import annotations

import torch
from tiny_generator import tiny_generator, tiny_window

from faithfusion.clips.windows import Span, plan_windows
from faithfusion.evaluate.metrics.seams import change_errors, score_seams, seam_steps
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.editing.editor_config import VideoEditorConfig
from faithfusion.video.editing.video_editor import VideoEditor


def test_three_windows_of_49_frames_are_145_with_two_seams() -> None:
    spans = plan_windows(145, 49, 1)
    assert spans == [Span(0, 49), Span(48, 97), Span(96, 145)] and seam_steps(spans) == (48, 96)


def test_a_jump_at_a_seam_is_found_and_a_steady_error_is_none() -> None:
    truth = torch.rand(17, 8, 8, 3)
    spans = plan_windows(17, 9, 1)
    steady = truth + 0.1
    assert change_errors(steady, truth).max() < 1e-6
    noisy = truth + 0.02 * torch.randn(truth.shape)
    assert score_seams(noisy, truth, spans).worst_ratio < 1.2
    noisy[9:] += 0.1
    scores = score_seams(noisy, truth, spans)
    assert scores.worst_ratio > 3.0 and scores.at_seams[0] > 0.08


def test_a_window_goes_on_from_the_last_frame_of_the_one_before() -> None:
    """A generator that leaves the render alone shows the chaining itself: nothing may happen at its seams."""
    config = VideoEditorConfig(window_frames=9, overlap_frames=1)
    window = tiny_window(frames=25)
    edited = VideoEditor(tiny_generator(), config, ErrorProfile()).edit(window)
    spans = plan_windows(25, 9, 1)
    assert len(spans) == 3 and score_seams(edited.frames, window.truth, spans).worst_ratio < 1.1
