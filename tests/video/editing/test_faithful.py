from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny_generator import tiny_window

from faithfusion.types import Window
from faithfusion.video.editing.chain import ChainEditor
from faithfusion.video.editing.composite import composite
from faithfusion.video.editing.editor import EditedClip
from faithfusion.video.editing.editor_config import DEFAULT_COMPOSITE, CompositeConfig
from faithfusion.video.editing.faithful import faithful
from faithfusion.video.editors.registry import open_editors

ENTRIES = [{"kind": "wan", "window_frames": 5}, {"kind": "fixer"}]


def bad_window(lowest: float, highest: float) -> Window:
    """A clip whose expected squared error is nowhere below `lowest`; EIG rises with it, and goes on on its plateau."""
    window = tiny_window(5, 32, 48, warped=2)
    places = torch.linspace(0.0, 1.0, window.render[..., 0].numel()).reshape(window.render.shape[:3])
    error = (lowest + (highest - lowest) * 1.5 * places).clamp_max(highest)
    eig = dataclasses.replace(window.eig, eig_nats=1.0 + places, expected_sq_error=error)
    return dataclasses.replace(window, eig=eig)


def overpainted(window: Window, gain: torch.Tensor) -> EditedClip:
    edit = (window.render < 0.5).float()  # as far from the render as colours allow
    return EditedClip(composite(window.render, edit, gain), edit, gain, 0.1 * window.eig.expected_sq_error)


@pytest.mark.parametrize(("lowest", "highest"), [(0.005, 0.13), (0.1, 0.2), (0.13, 0.13)])
def test_the_shipped_editors_leave_the_best_known_tenth_of_a_scene_that_is_bad_everywhere(
    lowest: float, highest: float
) -> None:
    window = bad_window(lowest, highest)
    edited = open_editors(ENTRIES, "cpu").editor(DEFAULT_COMPOSITE).edit(window)
    eig = window.eig.eig_nats.flatten()
    best = (eig <= eig.kthvalue(-(-eig.numel() // 10)).values).reshape(window.render.shape[:3])
    assert torch.equal(edited.frames[best], window.render[best])
    assert (edited.gain[best] == 0.0).all()
    torch.testing.assert_close(edited.sq_error[best], window.eig.expected_sq_error[best])
    worst = (eig >= eig.quantile(0.3)).reshape(window.render.shape[:3])
    assert (edited.gain[worst] > 0.2).all() and (edited.frames != window.render)[worst].float().mean() > 0.9


def test_another_share_is_kept_if_the_user_says_so() -> None:
    window = bad_window(0.005, 0.13)
    opened = open_editors(ENTRIES, "cpu")
    free = opened.editor(CompositeConfig(faithful_share=0.0)).edit(window)
    half = opened.editor(CompositeConfig(faithful_share=0.5)).edit(window)
    assert (free.gain > 0.0).all()
    assert (half.gain == 0.0).float().mean() == pytest.approx(0.5, abs=1e-3)


def test_a_clip_that_keeps_its_tenth_already_is_not_touched() -> None:
    window = bad_window(1e-5, 0.13)
    error = window.eig.expected_sq_error
    edited = overpainted(window, (error > error.quantile(0.1)).float())
    assert faithful(edited, window, 0.1) is edited
    plateau = dataclasses.replace(window, eig=dataclasses.replace(window.eig, expected_sq_error=error.clamp_min(0.09)))
    of_any = overpainted(plateau, torch.ones_like(error))
    of_any.gain[:, :, ::2] = 0.0  # some tenth of the plateau is kept
    assert faithful(of_any, plateau, 0.1) is of_any


def test_the_gain_fades_in_over_the_second_tenth_and_the_error_of_the_mixture_is_told() -> None:
    window = bad_window(0.005, 0.13)
    edited = faithful(overpainted(window, torch.ones_like(window.render[..., 0])), window, 0.1)
    tenths = edited.gain.flatten().tensor_split(10)  # in the order of expected error
    assert (tenths[0] == 0.0).all() and (tenths[2] == 1.0).all()
    assert tenths[1].diff().min() >= 0.0 and tenths[1][0] < 0.01 and tenths[1][-1] > 0.99
    assert torch.equal(edited.frames, composite(window.render, edited.edit, edited.gain))
    error = window.eig.expected_sq_error
    torch.testing.assert_close(edited.sq_error, torch.lerp(error, 0.1 * error, edited.gain))


def test_pixels_nobody_can_tell_apart_are_kept_in_their_order() -> None:
    window = bad_window(0.2, 0.2)
    window.eig.eig_nats.fill_(3.0)

    class Painter:
        def edit(self, window: Window) -> EditedClip:
            return overpainted(window, torch.ones_like(window.render[..., 0]))

    edited = ChainEditor([Painter()], 0.1).edit(window)
    assert int((edited.gain == 0.0).sum()) == -(-edited.gain.numel() // 10)
