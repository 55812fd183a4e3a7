"""What people wear: colours, patterns and cuts (linear albedos)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faithfusion.street.meshes import Color

SKINS: tuple[Color, ...] = (
    (0.58, 0.36, 0.26), (0.5, 0.3, 0.2), (0.36, 0.2, 0.12), (0.2, 0.105, 0.06), (0.62, 0.42, 0.33),
)  # fmt: skip
HAIRS: tuple[Color, ...] = ((0.02, 0.016, 0.013), (0.06, 0.035, 0.02), (0.16, 0.09, 0.045), (0.38, 0.28, 0.14),
                            (0.34, 0.33, 0.32))  # fmt: skip
TOPS: tuple[Color, ...] = (
    (0.03, 0.05, 0.14), (0.6, 0.58, 0.55), (0.36, 0.04, 0.04), (0.45, 0.27, 0.04), (0.05, 0.14, 0.09),
    (0.22, 0.23, 0.25), (0.4, 0.16, 0.2), (0.03, 0.2, 0.26), (0.035, 0.035, 0.04), (0.3, 0.2, 0.12),
)  # fmt: skip
LEGWEAR: tuple[Color, ...] = (
    (0.05, 0.075, 0.15), (0.02, 0.02, 0.025), (0.28, 0.22, 0.15), (0.13, 0.13, 0.14), (0.1, 0.14, 0.22),
    (0.16, 0.05, 0.05),
)  # fmt: skip
SHOES: tuple[Color, ...] = ((0.02, 0.02, 0.02), (0.12, 0.06, 0.03), (0.55, 0.55, 0.53), (0.25, 0.05, 0.05))
PATTERNS = 4  # plain, hoops, checks, pinstripes


@dataclass(frozen=True)
class Outfit:
    """Colours and cut. `top_pattern` is (pattern number, size in metres)."""

    skin: Color
    hair: Color
    top: Color
    accent: Color
    top_pattern: tuple[int, float]
    legs: Color
    shoes: Color
    skirt_m: float = 0.0  # below the hips; 0 = trousers
    short_sleeves: bool = False
    long_hair: bool = False
    bag: Color | None = None  # on the back
    helmet: Color | None = None
    seed: int = 0


def draw_outfit(rng: np.random.Generator, *, cycling: bool) -> Outfit:
    """Somebody's clothes."""

    def pick(colors: tuple[Color, ...]) -> Color:
        return colors[rng.integers(len(colors))]

    long_hair = bool(rng.random() < 0.45)
    skirt = rng.uniform(0.22, 0.5) if long_hair and rng.random() < 0.45 and not cycling else 0.0
    pattern = (int(rng.integers(PATTERNS)), rng.uniform(0.06, 0.14))
    bag, helmet = pick(TOPS), pick(TOPS)
    return Outfit(
        skin=pick(SKINS), hair=pick(HAIRS), top=pick(TOPS), accent=pick(TOPS), top_pattern=pattern,
        legs=pick(LEGWEAR), shoes=pick(SHOES), skirt_m=skirt, short_sleeves=bool(rng.random() < 0.35),
        long_hair=long_hair, bag=bag if rng.random() < 0.4 else None,
        helmet=helmet if cycling and rng.random() < 0.7 else None, seed=int(rng.integers(1000)),
    )  # fmt: skip
