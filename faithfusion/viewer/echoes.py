"""Telling a hand on the mouse from the browser's answers to poses it was sent."""

from __future__ import annotations

from collections import deque

import numpy as np

POSITION_TOLERANCE_M, ROTATION_TOLERANCE = 2e-3, 2e-3
REMEMBERED = 64
"""Poses; answers lag behind while a drive is played."""
STRANGERS = 2
"""New poses nobody sent, in a row, that are a hand: one alone may be half of a change."""


class Echoes:
    """Poses that were sent to one browser, and that came from it.

    A browser also reports a pose again that it had before, for instance when its window changes: that is no hand.
    """

    def __init__(self) -> None:
        self._sent: deque[np.ndarray] = deque(maxlen=REMEMBERED)
        self._heard: deque[np.ndarray] = deque(maxlen=REMEMBERED)
        self._strangers = 0

    def sent(self, world_from_camera: tuple[float, ...]) -> None:
        """Remembers a pose."""
        self._sent.append(np.reshape(world_from_camera, (4, 4)))

    def by_hand(self, world_from_camera: tuple[float, ...]) -> bool:
        """Takes a pose from the browser. Whether it and the one before it are new and were sent by nobody."""
        pose = np.reshape(world_from_camera, (4, 4))
        if any(_same(pose, other) for other in self._sent):
            self._strangers = 0
        elif not any(_same(pose, other) for other in self._heard):
            self._heard.append(pose)
            self._strangers += bool(self._sent)
        return self._strangers >= STRANGERS


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    near = np.abs(one[:3, 3] - other[:3, 3]).max() < POSITION_TOLERANCE_M
    return bool(near and np.abs(one[:3, :3] - other[:3, :3]).max() < ROTATION_TOLERANCE)
