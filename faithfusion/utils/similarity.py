"""The move of a scene from one frame of reference to another: it is turned, shifted and scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Similarity:
    """x -> scale * rotation @ x + translation, float64."""

    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, 3]
    scale: float = 1.0

    def move_pose(self, pose: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
        """A pose (axes in columns, origin) in the new frame; it stays rigid."""
        moved = np.eye(4)
        moved[:3, :3] = self.rotation @ pose[:3, :3]
        moved[:3, 3] = self.scale * self.rotation @ pose[:3, 3] + self.translation
        return moved

    def inverse(self) -> Similarity:
        """The move back."""
        back = self.rotation.T / self.scale
        return Similarity(self.rotation.T, -back @ self.translation, 1.0 / self.scale)

    @staticmethod
    def from_plain(plain: Mapping[str, Any]) -> Similarity:
        """Inverse of `to_plain`."""
        return Similarity(np.array(plain["rotation"]), np.array(plain["translation"]), float(plain["scale"]))

    def to_plain(self) -> dict[str, Any]:
        """The move as plain JSON data."""
        return {"rotation": self.rotation.tolist(), "translation": self.translation.tolist(), "scale": self.scale}
