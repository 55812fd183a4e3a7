"""The size of pictures follows the machine; a hand on the mouse is told from an echo."""

import numpy as np

from faithfusion.viewer.echoes import Echoes
from faithfusion.viewer.pace import LEAST_SHARE, Pace

CANVAS = (1600, 800)


def test_at_rest_the_picture_is_full_and_no_larger_than_the_canvas() -> None:
    assert Pace(480).width(CANVAS, "EIG", at_rest=True) == 480
    assert Pace(480).width((400, 800), "EIG", at_rest=True) == 240  # the longer side counts
    assert Pace(480).width((200, 100), "EIG", at_rest=True) == 200


def test_moving_pictures_come_to_take_what_they_may() -> None:
    pace, seconds_per_pixel = Pace(480, budget_s=0.1), 4e-6
    for _ in range(12):
        width = pace.width(CANVAS, "colour", at_rest=False)
        pace.took(CANVAS, "colour", width, width * width / 2 * seconds_per_pixel)
    assert 0.08 < width * width / 2 * seconds_per_pixel < 0.12
    assert pace.width(CANVAS, "EIG", at_rest=False) == 240  # each kind has its own
    for _ in range(20):
        pace.took(CANVAS, "EIG", pace.width(CANVAS, "EIG", at_rest=False), 60.0)
    assert pace.width(CANVAS, "EIG", at_rest=False) == round(480 * LEAST_SHARE)
    for _ in range(20):
        pace.took(CANVAS, "EIG", pace.width(CANVAS, "EIG", at_rest=False), 1e-9)
    assert pace.width(CANVAS, "EIG", at_rest=False) == 480


def pose(x_m: float) -> tuple[float, ...]:
    matrix = np.eye(4)
    matrix[0, 3] = x_m
    return tuple(matrix.flatten().tolist())


def test_echoes_of_older_poses_are_no_hand() -> None:
    echoes = Echoes()
    assert not echoes.by_hand(pose(7.0)) and not echoes.by_hand(pose(7.0))  # nothing was sent yet
    for step in range(5):
        echoes.sent(pose(float(step)))
    assert not any(echoes.by_hand(pose(float(step))) for step in (2, 3, 4))
    assert not echoes.by_hand(pose(9.0))  # one stranger alone
    assert not echoes.by_hand(pose(4.0))
    assert not echoes.by_hand(pose(9.1)) and echoes.by_hand(pose(9.2))


def test_what_the_browser_says_again_is_no_hand() -> None:
    echoes = Echoes()
    assert not echoes.by_hand(pose(7.0))
    echoes.sent(pose(0.0))
    assert not any(echoes.by_hand(pose(7.0)) for _ in range(5))  # its first pose, still
    assert not any(echoes.by_hand(pose(8.0)) for _ in range(5))  # one stranger, again and again
    assert echoes.by_hand(pose(8.1))
