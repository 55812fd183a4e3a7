"""Slow, obvious twins of the scores of `evaluate/driving`: loops over boxes, pixels and all ways to match."""

from __future__ import annotations

import itertools
import math

Box = tuple[float, float, float, float]


def iou(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


def centre_distance(a: Box, b: Box) -> float:
    return math.hypot((a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2)


def nearest_iou(box: Box, detected: list[Box]) -> float:
    """The published score of one reference."""
    if not detected:
        return 0.0
    nearest = min(detected, key=lambda other: centre_distance(box, other))
    return iou(box, nearest) if centre_distance(box, nearest) <= 10 else 0.0


def greatest_sum_of_ious(boxes: list[Box], detected: list[Box], max_centre_px: float) -> float:
    """Over all ways to give every box a detection of its own, or none."""
    places = [*range(len(detected)), *[None] * len(boxes)]
    sums = []
    for chosen in itertools.permutations(places, len(boxes)):
        pairs = [(box, detected[place]) for box, place in zip(boxes, chosen, strict=True) if place is not None]
        sums.append(sum(iou(*pair) for pair in pairs if centre_distance(*pair) <= max_centre_px))
    return max(sums)


def lane_score(reference: list[list[bool]], detected: list[list[bool]]) -> float:
    """The published score of one picture, pixel by pixel."""
    ious = []
    for value in (False, True):
        shared = union = 0
        for row, other_row in zip(reference, detected, strict=True):
            for pixel, other in zip(row, other_row, strict=True):
                shared += pixel == value and other == value
                union += pixel == value or other == value
        ious.append(shared / union if union else 0.0)
    return 100 * sum(ious) / 2


def frechet_distance(features, others) -> float:
    """Heusel et al. 2017, eq. 6, by the square root of the product of covariances, in numpy and scipy."""
    import numpy as np
    from scipy.linalg import sqrtm

    mean, other_mean = features.mean(0), others.mean(0)
    covariance, other_covariance = np.cov(features, rowvar=False), np.cov(others, rowvar=False)
    root = sqrtm(covariance @ other_covariance).real
    return float(((mean - other_mean) ** 2).sum() + np.trace(covariance + other_covariance - 2 * root))


def kernel_distance(features, others) -> float:
    """Binkowski et al. 2018, eq. 3 with the kernel (x.y / d + 1)^3, pair by pair."""

    def kernel(x, y) -> float:
        return (float(x @ y) / len(x) + 1) ** 3

    def within(group) -> float:
        pairs = itertools.permutations(range(len(group)), 2)
        return sum(kernel(group[i], group[j]) for i, j in pairs) / (len(group) * (len(group) - 1))

    across = sum(kernel(x, y) for x in features for y in others) / (len(features) * len(others))
    return within(features) + within(others) - 2 * across
