"""Runs editors one after another: what the first is not sure of, the next may improve."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from faithfusion.types import Window
from faithfusion.video.editing.editor import EditedClip, Editor
from faithfusion.video.editing.faithful import faithful


class ChainEditor:
    """Each editor gets the clip that the one before has finished, with the error that is left in it.

    The error that fusion leaves (`composite.fused_error`) is what the next editor sees as expected error. Gains add up
    to g = 1 - (1 - w_1)(1 - w_2)..., and the content of the chain is the mean of the editors' own, each weighted by its
    share of the result. `faithful_share`: of the pixels, the best known, that are the render's own in the end.
    """

    def __init__(self, editors: Sequence[Editor], faithful_share: float = 0.0) -> None:
        self.editors, self.faithful_share = tuple(editors), faithful_share

    def edit(self, window: Window) -> EditedClip:
        """See `Editor.edit`: (1 - gain) render + gain edit are the finished frames."""
        return self.go_on(self.editors[0].edit(window), window, 1)

    def go_on(self, edited: EditedClip, window: Window, done: int) -> EditedClip:
        """The same from what the first `done` editors have made of the window already."""
        for editor in self.editors[done:]:
            edited = continued(edited, window, editor)
        return faithful(edited, window, self.faithful_share)


def continued(first: EditedClip, window: Window, editor: Editor) -> EditedClip:
    """Lets `editor` go on with a window that others have edited already."""
    return _then(first, editor.edit(edited_window(window, first)))


def edited_window(window: Window, edited: EditedClip) -> Window:
    """The window as the next editor sees it: finished frames, and the error that is left in them."""
    eig = dataclasses.replace(window.eig, expected_sq_error=edited.sq_error)
    return dataclasses.replace(window, render=edited.frames, eig=eig)


def _then(first: EditedClip, second: EditedClip) -> EditedClip:
    gain = 1.0 - (1.0 - first.gain) * (1.0 - second.gain)
    share = torch.where(gain > 0.0, second.gain / gain.clamp_min(1e-12), 1.0)
    return EditedClip(second.frames, torch.lerp(first.edit, second.edit, share[..., None]), gain, second.sq_error)
