"""What a check says about a drive, the limits it goes by, and the verdict in one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How bad a finding is."""

    NOTE = 0  # worth knowing, nothing is wrong
    REMARK = 1  # works, with a loss
    BROKEN = 2  # results would be wrong


@dataclass(frozen=True)
class Finding:
    """One line about one part of the drive. `subject` is a camera, "poses", "lidar", "boxes", "images" or "masks"."""

    level: Level
    subject: str
    text: str

    def line(self) -> str:
        """The finding as printed."""
        return f"{self.level.name.lower()}: {self.subject}: {self.text}"


@dataclass(frozen=True)
class Limits:
    """Every threshold of the checks. Names end in their unit; shares and correlations have none.

    Attributes:
        num_samples: Time stamps at which scans, masks and full images are read.
        thumb_px: Width of the small grey pictures made of every image, pixels.
        work_px: Largest width at which images are compared with LiDAR, pixels.
        max_points: LiDAR points used per scan.
        dark_level: An image whose mean is below this (0 to 1) is black.
        bright_level: A pixel above this (0 to 1) is burnt out.
        max_bright_share: More burnt-out pixels than this and the image is overexposed.
        flat_level: An image whose standard deviation is below this is empty.
        standing_m: An ego step below this counts as standing, metres.
        pose_order_ratio: Exchanging two places makes the way past them shorter than this share: they are out of order.
        image_order_ratio: The same for images and the sum of their differences.
        max_speed_m_s: No road vehicle is faster, metres per second.
        max_acceleration_m_s2: Larger changes of velocity are jumps of the pose, metres per square second.
        min_jump_m: Smaller deviations from even motion are odometry noise, metres.
        broken_jump_m: Changes of the ego's step that no fit can bear, metres.
        max_turn_deg_s: No road vehicle turns faster, degrees per second.
        max_course_deg: Largest angle between the ego's x axis and its motion, degrees.
        max_reverse_m_s: No road vehicle drives backwards faster, metres per second.
        max_tilt_deg: Largest angle between the ego's z axis and the normal of the LiDAR's ground, degrees.
        min_travel_m: Shorter drives cannot be checked by motion, metres.
        center_remark: Distance of the principal point from the image's middle, in widths or heights.
        center_broken: The same, beyond which the intrinsics are of another image.
        scale_tolerance: Intrinsics whose principal point is off by one factor on both axes are of a resized image.
        min_fov_deg: Narrowest horizontal field of view of a camera, degrees.
        max_fov_deg: Widest one of a pinhole camera, degrees.
        max_aspect: Largest ratio of the two focal lengths.
        min_lens_share: Share of the undistorted image that the lens saw, at least.
        max_tangential: Largest |p1|, |p2|.
        max_roll_deg: Largest angle between the camera's up axis and the ego's z axis, degrees.
        min_camera_height_m: Lowest place of a camera over the LiDAR's ground, metres.
        max_camera_height_m: Highest place, metres.
        max_scan_distance_m: Half of the points farther from the ego than this: not in the ego frame, metres.
        min_scan_inside: Share of a scan that falls into at least one image.
        scan_travel_m: Ego motion between two scans that are laid over each other, metres.
        scan_match_m: A point counts as found again within this distance, metres.
        scan_gain: A wrong reading of poses or points must match this share of the points better to be preferred.
        min_other_match: Share of points found again with another reading, at least, to believe it.
        min_scan_match: Share of points found again below which poses and LiDAR disagree.
        color_travel_m: Ego motion between two images compared through LiDAR points, metres.
        color_gain: A wrong reading of the calibration must correlate this much better to be preferred.
        color_broken: Correlation below which LiDAR, poses and images contradict each other.
        color_remark: Correlation below which they are in doubt.
        min_color_points: Points seen in both images, fewer say nothing.
        min_texture: Contrast of an image at the points, below which it says nothing.
        max_rotation_deg: A rotation of the camera that fits better than the given one by this much is a fault, degrees.
        remark_rotation_deg: The same for a remark, degrees.
        min_turn_px: A rotation that moves the picture less is lost in its blur; a fault moves it twice as much, pixels.
        rotation_gain: How much better it must correlate.
        box_range_m: Boxes farther from the ego than this are not compared with LiDAR, metres.
        min_box_points: Points that make a box seen.
        min_boxes_seen: Share of the near boxes that hold points.
        box_gain: Another reading must hold LiDAR points in this many times as many boxes.
        max_box_ground_m: Largest distance between the boxes' bottoms and the ground around them, metres.
        max_swapped_share: Share of vehicles wider than long.
        max_box_course_deg: Largest angle between a box's x axis and its motion, degrees.
        max_box_m: Longest edge of a box, metres.
        sky_broken: Share of LiDAR returns on sky pixels beyond which the mask is inverted.
        sky_remark: The same for a remark.
        max_dynamic_share: Share of an image that moving objects may cover.
    """

    num_samples: int = 5
    thumb_px: int = 96
    work_px: int = 480
    max_points: int = 20_000
    dark_level: float = 0.02
    bright_level: float = 0.97
    max_bright_share: float = 0.8
    flat_level: float = 0.01
    standing_m: float = 0.05
    pose_order_ratio: float = 0.8
    image_order_ratio: float = 0.95
    max_speed_m_s: float = 70.0
    max_acceleration_m_s2: float = 30.0
    min_jump_m: float = 0.3
    broken_jump_m: float = 1.0
    max_turn_deg_s: float = 120.0
    max_course_deg: float = 30.0
    max_reverse_m_s: float = 4.0
    max_tilt_deg: float = 20.0
    min_travel_m: float = 2.0
    center_remark: float = 0.3
    center_broken: float = 0.45
    scale_tolerance: float = 0.15
    min_fov_deg: float = 10.0
    max_fov_deg: float = 150.0
    max_aspect: float = 1.2
    min_lens_share: float = 0.6
    max_tangential: float = 0.05
    max_roll_deg: float = 50.0
    min_camera_height_m: float = 0.2
    max_camera_height_m: float = 6.0
    max_scan_distance_m: float = 150.0
    min_scan_inside: float = 0.02
    scan_travel_m: float = 4.0
    scan_match_m: float = 0.3
    scan_gain: float = 0.1
    min_other_match: float = 0.6
    min_scan_match: float = 0.4
    color_travel_m: float = 2.5
    color_gain: float = 0.15
    color_broken: float = 0.25
    color_remark: float = 0.45
    min_color_points: int = 100
    min_texture: float = 0.005
    max_rotation_deg: float = 3.0
    remark_rotation_deg: float = 1.5
    min_turn_px: float = 4.0
    rotation_gain: float = 0.08
    box_range_m: float = 30.0
    min_box_points: int = 3
    min_boxes_seen: float = 0.4
    box_gain: float = 1.5
    max_box_ground_m: float = 0.45
    max_swapped_share: float = 0.5
    max_box_course_deg: float = 45.0
    max_box_m: float = 30.0
    sky_broken: float = 0.5
    sky_remark: float = 0.1
    max_dynamic_share: float = 0.6


def broken(subject: str, text: str) -> Finding:
    """A fault."""
    return Finding(Level.BROKEN, subject, text)


def remark(subject: str, text: str) -> Finding:
    """A loss."""
    return Finding(Level.REMARK, subject, text)


def note(subject: str, text: str) -> Finding:
    """A fact."""
    return Finding(Level.NOTE, subject, text)


def verdict(findings: Sequence[Finding]) -> str:
    """One line: "ok: ...", "usable: 2 remarks: ..." or "broken: FAULT"; the first fault is the one to mend first."""
    faults = [f"{f.subject}: {f.text}" for f in findings if f.level is Level.BROKEN]
    remarks = [f"{f.subject}: {f.text}" for f in findings if f.level is Level.REMARK]
    if faults:
        return f"broken: {faults[0]}" + (f" (and {count(len(faults) - 1, 'more fault')})" if len(faults) > 1 else "")
    if remarks:
        return f"usable: {count(len(remarks), 'remark')}: " + "; ".join(remarks)
    return "ok: nothing wrong was found"


def count(number: int, noun: str) -> str:
    """1 remark, 2 remarks; 2 boxes."""
    ending = "es" if noun.endswith("x") else "s"
    return f"{number} {noun}{'' if number == 1 else ending}"


def name_frames(indices: Iterable[int], most: int = 4) -> str:
    """frame 3; frames 3, 4; frames 3, 4, 5, 6 and 10 more."""
    items = list(indices)
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return f"frame{'s' if len(items) > 1 else ''} {', '.join(map(str, items[:most]))}{more}"
