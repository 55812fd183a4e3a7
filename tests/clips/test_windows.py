from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny_generator import tiny_cameras, tiny_window

from faithfusion.clips.windows import (
    Span,
    nearest_references,
    pad_window,
    padded_length,
    plan_windows,
    reflected_indices,
    slice_window,
    training_spans,
)
from faithfusion.utils.errors import InputError


@pytest.mark.parametrize("frames", [1, 5, 9, 13, 17, 29, 53, 101])
@pytest.mark.parametrize(("size", "overlap"), [(9, 1), (9, 5), (49, 5)])
def test_plan_covers_everything_with_enough_overlap(frames: int, size: int, overlap: int) -> None:
    spans = plan_windows(frames, size, overlap)
    assert spans[0].start == 0 and spans[-1].stop == frames
    assert all(span.stop - span.start == min(size, frames) for span in spans)
    for before, after in zip(spans, spans[1:], strict=False):
        shared = before.stop - after.start
        assert shared >= overlap and shared % 4 == 1 and after.start > before.start


def test_lengths_that_are_not_4k_plus_1_are_refused() -> None:
    for arguments in ((10, 9, 5), (13, 8, 5), (13, 9, 4), (13, 9, 9), (0, 9, 5)):
        with pytest.raises(InputError, match="windows: "):
            plan_windows(*arguments)


def test_padded_length_is_the_next_4k_plus_1() -> None:
    assert [padded_length(n) for n in (1, 2, 5, 6, 8, 9)] == [1, 5, 5, 9, 9, 9]


def test_windows_are_slices_of_every_field() -> None:
    sequence = tiny_window(15, 16, 16, poses=True)
    windows = [slice_window(sequence, span) for span in training_spans(len(sequence.render), 9, 5)]
    assert len(windows) == 2  # 13 of 15 frames are used
    assert torch.equal(windows[1].render, sequence.render[4:13])
    assert torch.equal(windows[1].truth, sequence.truth[4:13])
    assert torch.equal(windows[1].eig.alpha, sequence.eig.alpha[4:13])
    assert windows[1].known.shape == (9,) and torch.equal(windows[1].references, sequence.references)
    assert windows[1].time_indices == tuple(range(4, 13)) and windows[1].cameras == sequence.cameras[4:13]
    with pytest.raises(InputError, match="15 frames"):
        training_spans(len(sequence.render), 17, 5)


def test_reflection_goes_back_and_forth_for_any_length() -> None:
    assert reflected_indices(3, 8).tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert reflected_indices(1, 4).tolist() == [0, 0, 0, 0]
    assert reflected_indices(4, 4).tolist() == [0, 1, 2, 3]


def test_padding_reflects_and_cropping_undoes_it() -> None:
    window = tiny_window(6, 20, 33, poses=True)
    padded = pad_window(window, 16)
    assert [padded.time_indices[t] for t in (5, 6, 8)] == [5, 4, 2]
    assert {(camera.height, camera.width) for camera in padded.cameras} == {(32, 48)} and len(padded.cameras) == 9
    assert padded.render.shape == (9, 32, 48, 3) and padded.truth.shape == padded.render.shape
    assert padded.eig.eig_nats.shape == padded.depth.shape == (9, 32, 48) and padded.known.shape == (9,)
    assert torch.equal(padded.render[:6, :20, :33], window.render)
    assert torch.equal(padded.render[6, 20, 33], window.render[4, 18, 31])
    fitting = tiny_window(5, 16, 32)
    assert pad_window(fitting, 16) is fitting


def test_one_window_is_the_whole_short_clip() -> None:
    assert plan_windows(5, 49, 5) == [Span(0, 5)]


def test_a_window_looks_at_the_references_nearest_to_its_frames() -> None:
    window = tiny_window(frames=9, poses=True)
    places = tiny_cameras(6, 32, 48, step_m=2.0)  # at 0, 2, ..., 10 m; the frames at 0, 0.5, ..., 4 m
    window = dataclasses.replace(window, references=torch.rand(6, 32, 48, 3), reference_cameras=places)
    late = slice_window(window, Span(4, 9))
    found = nearest_references(late, 2)
    assert torch.equal(found.references, window.references[1:3])
    assert found.reference_poses.world_from_camera[:, 2, 3].tolist() == [2.0, 4.0]
    assert nearest_references(window, 6) is window


def test_warped_views_are_cut_and_padded_with_their_frames() -> None:
    window = tiny_window(7, 30, 41, warped=2)
    cut = slice_window(window, Span(2, 5)).warped
    assert torch.equal(cut.colors, window.warped.colors[:, 2:5]) and torch.equal(cut.trust, window.warped.trust[:, 2:5])
    padded = pad_window(window, 16).warped
    assert padded.colors.shape == (2, 9, 32, 48, 3) and padded.trust.shape == (2, 9, 32, 48)
    assert torch.equal(padded.trust[:, :7, :30, :41], window.warped.trust)
    assert torch.equal(padded.trust[:, 7, 30, 41], window.warped.trust[:, 5, 28, 39])
