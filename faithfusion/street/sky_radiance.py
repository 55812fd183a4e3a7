"""Sky radiance: a gradient, a glow around the sun, and soft clouds at infinity."""

from __future__ import annotations

import numpy as np

from faithfusion.street.street_plan import Light
from faithfusion.street.textures import fractal

ZENITH = np.float32([0.2, 0.38, 0.74])
HORIZON = np.float32([0.78, 0.86, 0.95])
CLOUD = np.float32([1.02, 1.0, 0.98])
SUN_COLOR = np.float32([1.0, 0.93, 0.8])
GROUND_BOUNCE = np.float32([0.2, 0.19, 0.175])


def sky_radiance(directions: np.ndarray, light: Light, *, with_clouds: bool = True) -> np.ndarray:
    """Linear radiance [n, 3] of unit directions [n, 3]; below the horizon the horizon's colour."""
    up = np.clip(directions[:, 2], 0, 1)
    radiance = HORIZON + (ZENITH - HORIZON) * (up**0.55)[:, None]
    towards_sun = np.clip(directions @ light.to_sun, 0, 1)
    radiance = radiance + SUN_COLOR * (0.35 * towards_sun**8 + 0.8 * towards_sun**180)[:, None]
    if with_clouds:
        lift = up + 0.12
        x, y = directions[:, 0] / lift + light.cloud_offset[0], directions[:, 1] / lift + light.cloud_offset[1]
        cover = fractal(x, y, 1.6, np.zeros(len(x), np.float32), 4, 31)
        share = np.clip((cover + light.cloud_cover - 0.35) / 0.5, 0, 1) * np.clip(up / 0.15, 0, 1)
        shade = CLOUD * (1.0 - 0.25 * np.clip(cover, 0, 1))[:, None]
        radiance = radiance + (shade - radiance) * (0.85 * share * share * (3 - 2 * share))[:, None]
    return radiance.astype(np.float32)


def tone_map(radiance: np.ndarray, exposure: float = 0.78) -> np.ndarray:
    """Linear radiance to display values in [0, 1]: filmic shoulder, then gamma.

    Curve: K. Narkowicz, "ACES filmic tone mapping curve", 2015.
    """
    x = radiance * np.float32(exposure)
    x = x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14)
    return np.clip(x, 0, 1) ** np.float32(1 / 2.2)
