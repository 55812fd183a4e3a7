"""Decides how large a picture is: small while things move, so that many come in a second, and full once they rest."""

from __future__ import annotations

import math

LEAST_SHARE = 0.2
"""Pictures have at least this share of the full width, however slow the machine is."""


class Pace:
    """Learns the right width from how long pictures of each kind took.

    The cost is taken to be proportional to the number of pixels; every picture corrects the estimate.
    """

    def __init__(self, full_width: int, *, budget_s: float = 0.1) -> None:
        self._full_width, self._budget_s = full_width, budget_s
        self._shares: dict[str, float] = {}

    def width(self, canvas: tuple[int, int], kind: str, *, at_rest: bool) -> int:
        """Width of the next picture in pixels. The longer side has at most the full width, and at most the canvas's."""
        longer = max(canvas)
        full = min(1.0, self._full_width / longer)
        share = 1.0 if at_rest else self._shares.get(kind, 0.5)
        return max(1, round(canvas[0] * full * share))

    def took(self, canvas: tuple[int, int], kind: str, width: int, seconds: float) -> None:
        """Notes that a picture `width` pixels wide took `seconds`."""
        share = width / self.width(canvas, kind, at_rest=True)
        wanted = share * math.sqrt(self._budget_s / max(seconds, 1e-4))
        known = self._shares.get(kind, wanted)
        self._shares[kind] = min(1.0, max(LEAST_SHARE, 0.5 * (known + wanted)))
