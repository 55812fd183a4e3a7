from __future__ import annotations

import dataclasses

import torch
from tiny_generator import tiny_window

from faithfusion.types import Window
from faithfusion.video.editing.chain import ChainEditor, continued
from faithfusion.video.editing.composite import composite
from faithfusion.video.editing.editor import EditedClip


@dataclasses.dataclass
class ConstantEditor:
    """Paints one colour with one gain, and remembers what it was given."""

    color: float
    gain: float
    seen: list[Window] = dataclasses.field(default_factory=list)

    def edit(self, window: Window) -> EditedClip:
        self.seen.append(window)
        gain = torch.where(window.known[:, None, None], 0.0, torch.full(window.render.shape[:3], self.gain))
        edit = torch.full_like(window.render, self.color)
        left = (1.0 - gain) * window.eig.expected_sq_error
        return EditedClip(composite(window.render, edit, gain), edit, gain, left)


def test_the_second_editor_gets_what_the_first_finished_and_the_error_that_is_left() -> None:
    window, first, second = tiny_window(), ConstantEditor(0.2, 0.75), ConstantEditor(0.8, 0.5)
    edited = ChainEditor([first, second]).edit(window)
    given = second.seen[0]
    torch.testing.assert_close(given.render, 0.25 * window.render + 0.75 * 0.2)
    torch.testing.assert_close(given.eig.expected_sq_error, 0.25 * window.eig.expected_sq_error)
    torch.testing.assert_close(edited.frames, 0.125 * window.render + 0.375 * 0.2 + 0.5 * 0.8)
    torch.testing.assert_close(edited.gain, torch.full_like(edited.gain, 1 - 0.25 * 0.5))
    torch.testing.assert_close(edited.sq_error, 0.125 * window.eig.expected_sq_error)


def test_content_and_gain_of_the_chain_give_its_frames() -> None:
    window = tiny_window()
    window.known[0] = True
    edited = ChainEditor([ConstantEditor(0.1, 0.4), ConstantEditor(0.9, 0.3), ConstantEditor(0.5, 0.2)]).edit(window)
    torch.testing.assert_close(torch.lerp(window.render, edited.edit, edited.gain[..., None]), edited.frames)
    assert torch.equal(edited.frames[0], window.render[0]) and edited.gain[0].max() == 0


def test_a_chain_can_be_continued_later() -> None:
    window, first, second = tiny_window(), ConstantEditor(0.2, 0.75), ConstantEditor(0.8, 0.5)
    whole, later = ChainEditor([first, second]).edit(window), continued(first.edit(window), window, second)
    assert all(torch.equal(value, getattr(later, name)) for name, value in vars(whole).items())
