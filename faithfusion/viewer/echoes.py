"""Tells poses that a user made with the mouse from poses that a browser merely sends back."""

from __future__ import annotations

from collections import deque

import numpy as np

POSITION_TOLERANCE_M, ROTATION_TOLERANCE = 2e-3, 2e-3
REMEMBERED = 64
"""So many poses are remembered, because answers lag behind while a drive is played."""
STRANGERS = 2
"""It takes this many new poses in a row that were not sent to the browser to conclude that the user moved the camera:
one alone may come while the browser still applies half of a change."""


class Echoes:
    """Remembers the poses that were sent to one browser and those that came from it.

    A browser also reports a pose again that it had before, for instance when its window changes. That is no sign of
    the user.
    """

    def __init__(self) -> None:
        self._sent: deque[np.ndarray] = deque(maxlen=REMEMBERED)
        self._heard: deque[np.ndarray] = deque(maxlen=REMEMBERED)
        self._strangers = 0

    def sent(self, world_from_camera: tuple[float, ...]) -> None:
        """Remembers a pose (16 numbers, row by row) that was sent."""
        self._sent.append(np.reshape(world_from_camera, (4, 4)))

    def by_hand(self, world_from_camera: tuple[float, ...]) -> bool:
        """Takes a pose (16 numbers) from the browser; returns whether the user made it and the one before it."""
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
