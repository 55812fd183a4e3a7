"""Checks the images by themselves: their exposure, frames that repeat, frames in the wrong order."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float

from faithfusion.check.evidence import STANDING_M, Evidence, without_shading
from faithfusion.check.findings import Finding, broken, name_frames, remark
from faithfusion.check.motion_faults import pose_order_marks
from faithfusion.check.order import exchanged, fit_better_exchanged, moves_around
from faithfusion.data.image_files import exif_orientation

SAME_LEVEL = 5e-4  # mean difference of two grey pictures of one image, also after another JPEG compression
SAME_SHARE = 0.1  # an image repeats the last if they differ by less than this share of the usual difference
MANY_SHARE = 0.2  # a fault in a larger share of the frames breaks the drive
THUMB_BLUR_PX = 4
DARK_LEVEL = 0.02  # an image whose mean is below this (0 to 1) is black
BRIGHT_LEVEL = 0.97  # a pixel above this (0 to 1) is burnt out
MAX_BRIGHT_SHARE = 0.8  # more burnt-out pixels than this and the image is overexposed
FLAT_LEVEL = 0.01  # an image whose standard deviation is below this is empty
IMAGE_ORDER_RATIO = 0.95  # exchanging two images shortens the sum of differences past them below this share


def check_images(evidence: Evidence) -> list[Finding]:
    """Finds black, burnt-out and empty images, repeated images, exchanged frames, one camera given twice, and images
    that ask to be turned."""
    findings: list[Finding] = []
    for name, thumbs in evidence.thumbs.items():
        findings += _check_exposure(name, thumbs)
        findings += _check_repeats(evidence, name, thumbs)
    return findings + _check_order(evidence) + _check_same_camera(evidence) + _check_orientation(evidence)


def _check_exposure(name: str, thumbs: Float[np.ndarray, "t h w"]) -> list[Finding]:
    faults = {
        "black": thumbs.mean((1, 2)) < DARK_LEVEL,
        "overexposed": (thumbs > BRIGHT_LEVEL).mean((1, 2)) > MAX_BRIGHT_SHARE,
    }
    faults["empty (one colour)"] = (thumbs.std((1, 2)) < FLAT_LEVEL) & ~faults["black"] & ~faults["overexposed"]
    return [
        _some_or_many(f"camera {name}", f"images are {kind}", flags) for kind, flags in faults.items() if any(flags)
    ]


def _some_or_many(subject: str, text: str, flags: Bool[np.ndarray, " t"]) -> Finding:
    found = f"{text}: {int(flags.sum())} of {len(flags)} ({name_frames(np.flatnonzero(flags).tolist())})"
    return (broken if flags.mean() > MANY_SHARE else remark)(subject, found)


def _check_repeats(evidence: Evidence, name: str, thumbs: Float[np.ndarray, "t h w"]) -> list[Finding]:
    moving = evidence.steps_m > STANDING_M
    lit = thumbs.std((1, 2)) > FLAT_LEVEL
    difference = np.abs(np.diff(thumbs, axis=0)).mean((1, 2))
    usual = np.median(difference[moving]) if moving.any() else 0.0
    same = np.append(False, (difference < max(SAME_LEVEL, SAME_SHARE * usual)) & moving & lit[1:])
    if not same.any():
        return []
    return [_some_or_many(f"camera {name}", "images repeat the one before although the ego moves", same)]


def _check_order(evidence: Evidence) -> list[Finding]:
    """Finds images in another order than the poses, whose own order is checked with the motion."""
    driven = moves_around(evidence.steps_m, 4 * STANDING_M) & ~pose_order_marks(evidence)
    sharp = {
        name: without_shading(torch.from_numpy(thumbs), THUMB_BLUR_PX).numpy()
        for name, thumbs in evidence.thumbs.items()
    }
    frames: dict[str, list[int]] = {}
    for name, pictures in sharp.items():
        marks = exchanged(pictures, IMAGE_ORDER_RATIO) & driven
        pairs = [t for t in np.flatnonzero(marks[:-1] & marks[1:]).tolist() if fit_better_exchanged([pictures], t)]
        frames[name] = sorted({t + more for t in pairs for more in (0, 1)})
    if len({tuple(found) for found in frames.values()}) == 1:
        frames = {"all": next(iter(frames.values()))}
    subjects = {name: "images" if name == "all" else f"camera {name}" for name in frames}
    text = "images out of order against the poses at"
    return [broken(subjects[name], f"{text} {name_frames(found)}") for name, found in frames.items() if found]


def _check_same_camera(evidence: Evidence) -> list[Finding]:
    names = list(evidence.thumbs)
    return [
        broken(f"camera {b}", f"its images are those of camera {a}")
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if evidence.thumbs[a].shape == evidence.thumbs[b].shape
        and evidence.thumbs[a].std() > FLAT_LEVEL
        and np.abs(evidence.thumbs[a] - evidence.thumbs[b]).mean() < SAME_LEVEL
    ]


def _check_orientation(evidence: Evidence) -> list[Finding]:
    clip = evidence.clip
    asks = {name: exif_orientation(clip.frame(0, name).image_path) for name in clip.camera_names}
    text = "the EXIF orientation asks for a turn ({}); the pixels are taken as they are stored"
    return [remark(f"camera {name}", text.format(value)) for name, value in asks.items() if value != 1]
