"""Finds out what is wrong where LiDAR, poses and images do not agree, by reading the files in other ways."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from faithfusion.check.agreement import (
    COLOR_TRAVEL_M,
    Pair,
    Reading,
    ViewShelf,
    agreement,
    near_view,
    pairs_across,
    pairs_in_time,
    resize_camera,
)
from faithfusion.check.calibration_faults import ego_from_camera
from faithfusion.check.evidence import MIN_TRAVEL_M, Evidence, without_shading
from faithfusion.check.findings import Finding, broken, note, remark
from faithfusion.check.readings import (
    FOCAL_SCALES,
    ROTATION_AXES,
    ROTATION_STEPS_DEG,
    focal_scaled,
    mounting,
    other_motions,
    other_mountings,
    turned,
    with_rig,
)

STANDING_FRAMES = 5
STANDING_CORRELATION = 0.5  # of images of a camera that does not move, traffic included
THUMB_BLUR_PX = 4
TURN_ROUNDS = 4
TURN_BONUS = 0.03  # a small turn is likelier than a strange reading that fits as well
COLOR_GAIN = 0.15  # a wrong reading of the calibration must correlate this much better to be preferred
COLOR_BROKEN = 0.25  # correlation below which LiDAR, poses and images contradict each other
COLOR_REMARK = 0.45  # correlation below which they are in doubt
MAX_ROTATION_DEG = 3.0  # a rotation of the camera that fits better than the given one by this much is a fault, degrees
REMARK_ROTATION_DEG = 1.5  # a rotation by this much is worth a remark, degrees
MIN_TURN_PX = 4.0  # a rotation that moves the picture less is lost in its blur; a fault moves it twice as much, pixels
ROTATION_GAIN = 0.08  # a rotation must correlate this much better to be preferred


@dataclass(frozen=True)
class Other:
    """Another reading of the files and how well images and LiDAR agree under it.

    `turn_deg` says how far a camera was turned, `turn_px` how far that moves the middle of its picture.
    """

    text: str = ""
    score: float = 0.0
    turn_deg: float = 0.0
    turn_px: float = 0.0


@dataclass(frozen=True)
class CameraScore:
    """Agreement of one camera with itself over time; the best other motion of the ego and the best other rig."""

    name: str
    given: float
    motion: Other
    rig: Other


def check_agreement(evidence: Evidence) -> list[Finding]:
    """Checks every camera's images against LiDAR and poses."""
    if not evidence.scan_times:
        return [remark("images", "there is no LiDAR: whether they agree with calibration and poses was not checked")]
    shelf = ViewShelf(evidence)
    scores = [
        _score_camera(evidence, pairs_in_time(evidence, shelf, name), name) for name in evidence.clip.camera_names
    ]
    known = [score for score in scores if score is not None]
    if not known:
        return [note("images", "the agreement with LiDAR and poses is not checked: no two views with enough contrast")]
    return _moved_wrongly(known) or _swapped(evidence, shelf, known) or [_judge(score) for score in known]


def _score_camera(evidence: Evidence, pairs: list[Pair], name: str) -> CameraScore | None:
    given = agreement(pairs)
    if given is None:
        return None
    motions = other_motions(evidence.dataset_poses[0], scans_agree=bool(evidence.scan_match))
    motion = _best_reading(pairs, motions)
    rig = _best_reading(pairs, _other_rigs(evidence, pairs[0], name))
    turn = _best_turn(pairs)
    return CameraScore(name, given, motion, turn if turn.turn_deg and turn.score > rig.score - TURN_BONUS else rig)


def _best_reading(pairs: list[Pair], readings: dict[str, Reading]) -> Other:
    found = [Other(text, agreement(pairs, reading) or 0.0) for text, reading in readings.items()]
    return max(found, key=lambda other: other.score)


def _other_rigs(evidence: Evidence, pair: Pair, name: str) -> dict[str, Reading]:
    cameras = {}
    for other in evidence.clip.camera_names:
        if other != name:
            camera = resize_camera(evidence.clip.frame(0, other).camera, pair.first.camera.width)
            rig = torch.from_numpy(ego_from_camera(evidence, other)).float()
            cameras[_calibration_of(other)] = with_rig(rig, camera.intrinsics)
    focal = {f"focal lengths {factor:g} times as long": focal_scaled(factor) for factor in FOCAL_SCALES}
    return {**cameras, **other_mountings(pair.first, evidence.clip.layout), **focal}


def _calibration_of(name: str) -> str:
    return f"the calibration of camera {name}"


def _is_better(score: CameraScore, other: Other) -> bool:
    gain = ROTATION_GAIN if other.turn_deg else COLOR_GAIN
    return other.score > max(score.given + gain, COLOR_REMARK)


def _moved_wrongly(scores: list[CameraScore]) -> list[Finding]:
    """One finding about the poses if most cameras prefer another motion."""
    votes = [
        score
        for score in scores
        if _is_better(score, score.motion) and score.motion.score > score.rig.score - TURN_BONUS
    ]
    if 2 * len(votes) <= len(scores):
        return []
    best = max(votes, key=lambda score: score.motion.score)
    fit = f"{best.motion.text} would fit ({best.motion.score:.2f})"
    return [broken("poses", f"they contradict images and LiDAR (correlation {best.given:.2f}); {fit}")]


def _swapped(evidence: Evidence, shelf: ViewShelf, scores: list[CameraScore]) -> list[Finding]:
    """Finds pairs of cameras that fit each other's calibration over time, or side by side at one time stamp."""
    wanted = {score.name: score.rig.text for score in scores if _is_better(score, score.rig)}
    found = []
    for i, a in enumerate(scores):
        for b in scores[i + 1 :]:
            both = (wanted.get(a.name), wanted.get(b.name)) == (_calibration_of(b.name), _calibration_of(a.name))
            sound = a.name not in wanted and b.name not in wanted
            if both or (sound and _fits_exchanged(pairs_across(evidence, shelf, (a.name, b.name)))):
                found.append(f"cameras {a.name} and {b.name}")
    return [broken(pair, "are swapped: the images of each fit the calibration of the other") for pair in found]


def _fits_exchanged(pairs: list[Pair]) -> bool:
    given, other = agreement(pairs), agreement(pairs, _exchange)
    if given is None or other is None:
        return False
    return other > max(given + COLOR_GAIN, COLOR_REMARK)


def _exchange(pair: Pair) -> Pair:
    a, b = pair.first, pair.second
    as_b = with_rig(mounting(b), resize_camera(b.camera, a.camera.width).intrinsics)
    as_a = with_rig(mounting(a), resize_camera(a.camera, b.camera.width).intrinsics)
    return Pair(as_b(pair).first, as_a(pair).second, pair.points_world)


def _judge(score: CameraScore) -> Finding:
    subject, turn_deg = f"camera {score.name}", score.rig.turn_deg
    found = f"correlation {score.given:.2f} of brightness at LiDAR points {COLOR_TRAVEL_M:g} m apart"
    if _is_better(score, score.rig):
        if turn_deg == 0:
            fit = f"{score.rig.text} would ({score.rig.score:.2f})"
            return broken(subject, f"images do not fit LiDAR and poses ({found}); {fit}")
        if turn_deg >= REMARK_ROTATION_DEG and score.rig.turn_px >= MIN_TURN_PX:
            text = f"extrinsics are turned by about {turn_deg:.0f} degrees"
            text += f" ({found}; {score.rig.score:.2f} with {score.rig.text})"
            is_plain = turn_deg >= MAX_ROTATION_DEG and score.rig.turn_px >= 2.0 * MIN_TURN_PX
            is_bad = is_plain or score.given < COLOR_REMARK
            return (broken if is_bad else remark)(subject, text)
    if score.given < COLOR_BROKEN:
        return broken(subject, f"calibration, LiDAR and poses contradict the images ({found})")
    if score.given < COLOR_REMARK:
        return remark(subject, f"images hardly fit LiDAR and poses ({found})")
    return note(subject, f"agrees with LiDAR and poses ({found})")


def _best_turn(pairs: list[Pair]) -> Other:
    """The rotation that fits best: in each round the best step about any one axis, until none helps."""
    pairs = [near_view(pair) for pair in pairs]
    angles, best = dict.fromkeys(ROTATION_AXES, 0.0), agreement(pairs) or 0.0
    for _ in range(TURN_ROUNDS):
        trials = [{**angles, axis: angles[axis] + step} for axis in ROTATION_AXES for step in ROTATION_STEPS_DEG]
        scores = [agreement(pairs, turned(trial)) or 0.0 for trial in trials]
        if max(scores) <= best:
            break
        best = max(scores)
        angles = trials[scores.index(best)]
    text = " and ".join(f"{axis} {angle:+g}" for axis, angle in angles.items() if angle)
    size_deg = math.hypot(*angles.values())
    focal = float(pairs[0].first.camera.intrinsics[0, 0])
    return Other(text, best, size_deg, focal * math.tan(math.radians(size_deg)))


def check_standing(evidence: Evidence) -> list[Finding]:
    """Finds poses that stand still although every camera's images change as a whole."""
    if evidence.steps_m.sum() > MIN_TRAVEL_M or evidence.clip.num_frames <= STANDING_FRAMES:
        return []
    values = []
    for thumbs in evidence.thumbs.values():
        sharp = without_shading(torch.from_numpy(thumbs), THUMB_BLUR_PX).flatten(1)
        a, b = sharp[:-STANDING_FRAMES], sharp[STANDING_FRAMES:]
        values.append(float(torch.nn.functional.cosine_similarity(a, b).median()))
    if max(values) >= STANDING_CORRELATION:
        return []
    return [broken("poses", "the ego stands still, but the images of all cameras move")]
