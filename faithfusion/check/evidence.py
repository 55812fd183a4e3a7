"""Gathers what the checks look at: small pictures of all images, pairs of time stamps between which the ego moved,
and scans."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from faithfusion.check.scan_ground import Ground, find_ground
from faithfusion.check.scan_match import Correction, best_correction, match_scans
from faithfusion.data.calibration_text import invert_rigid
from faithfusion.data.drive_reader import clip_from_dataset_world
from faithfusion.data.layouts import read_marker
from faithfusion.data.lidar import load_points_world
from faithfusion.types import DriveClip, Frame
from faithfusion.utils.media import decoding, rgb_bytes

DIGEST_BYTES = 65_536  # of a scan's beginning; two turns of a laser differ from their first beams on
NUM_SAMPLES = 5  # time stamps at which scans, masks and full images are read
THUMB_PX = 96  # width of the small grey pictures made of every image, pixels
MAX_POINTS = 20_000  # LiDAR points used per scan
STANDING_M = 0.05  # an ego step below this counts as standing, metres
MAX_SPEED_M_S = 70.0  # no road vehicle is faster, metres per second
MIN_TRAVEL_M = 2.0  # shorter drives cannot be checked by motion, metres
SCAN_TRAVEL_M = 4.0  # ego motion between two scans that are laid over each other, metres
SCAN_MATCH_M = 0.3  # a point counts as found again within this distance, metres


@dataclass(frozen=True)
class Evidence:
    """A drive and what was read of it.

    Attributes:
        clip: The drive.
        num_samples: How many time stamps are looked at where not all are.
        thumbs: Small grey pictures of every camera, 0 to 1.
        scan_digests: A hash of the beginning of every scan; None where there is none.
    """

    clip: DriveClip
    num_samples: int
    thumbs: dict[str, Float[np.ndarray, "t h w"]]
    scan_digests: tuple[str | None, ...]

    @property
    def positions(self) -> Float[np.ndarray, "t 3"]:
        """Places of the ego in the clip's world, metres."""
        return self.clip.world_from_ego[:, :3, 3].double().numpy()

    @property
    def steps_m(self) -> Float[np.ndarray, " t_minus_1"]:
        """Length of the ego's way from each frame to the next."""
        return np.linalg.norm(np.diff(self.positions, axis=0), axis=1)

    @functools.cached_property
    def steps_s(self) -> Float[np.ndarray, " t_minus_1"]:
        """Time from each frame to the next: by the time stamps of `layout.json`, else by the frame rate."""
        count = self.clip.num_frames
        times = read_marker(self.clip.root).get("times_s", [])[:count]
        even = np.full(max(count - 1, 0), 1.0 / self.clip.frame_rate_hz)
        return np.diff(np.array(times, dtype=np.float64)) if len(times) == count else even

    @functools.cached_property
    def dataset_poses(self) -> Float[np.ndarray, "t 4 4"]:
        """Ego poses in the data set's own world, as the files have them."""
        world = clip_from_dataset_world(self.clip.root, self.clip.layout)
        return invert_rigid(world) @ self.clip.world_from_ego.double().numpy()

    @functools.cached_property
    def grounds(self) -> dict[int, Ground | None]:
        """The road in the sampled scans, in the ego frame."""
        return {t: find_ground(self.points_ego(t)) for t in self.sample_scans()}

    @functools.cached_property
    def scan_match(self) -> dict[str, float]:
        """Medians of `scan_match.match_scans` over pairs of scans; empty if there are none to compare."""
        rows = [row for t, s in self.moving_pairs(SCAN_TRAVEL_M) if (row := self._match(t, s))]
        return {name: float(np.median([row[name] for row in rows])) for name in rows[0]} if rows else {}

    def scan_correction(self) -> Correction | None:
        """The median of the small motions that lay the pairs of scans on each other best; None without pairs."""
        poses, found = self.dataset_poses, []
        for t, s in self.moving_pairs(SCAN_TRAVEL_M):
            if self._match(t, s):
                motion = invert_rigid(poses[s]) @ poses[t]
                found.append(best_correction(self.points_ego(t), self.points_ego(s), motion, SCAN_MATCH_M))
        if not found:
            return None
        return Correction(*(float(np.median([getattr(one, name) for one in found])) for name in Correction._fields))

    def _match(self, t: int, s: int) -> dict[str, float]:
        if self.clip.lidar_paths[t] is None or self.clip.lidar_paths[s] is None:
            return {}
        poses = self.dataset_poses
        return match_scans(self.points_ego(t), self.points_ego(s), poses[t], poses[s], SCAN_MATCH_M)

    @functools.cached_property
    def _scans(self) -> dict[int, Float[Tensor, "n 3"]]:
        return {}

    @property
    def scan_times(self) -> list[int]:
        """Time stamps with a scan."""
        return [t for t, path in enumerate(self.clip.lidar_paths) if path is not None]

    def sample_times(self) -> list[int]:
        """A few time stamps spread over the clip."""
        return spread(list(range(self.clip.num_frames)), self.num_samples)

    def sample_scans(self) -> list[int]:
        """A few time stamps with a scan, spread over the clip."""
        return spread(self.scan_times, self.num_samples)

    def moving_pairs(self, travel_m: float) -> list[tuple[int, int]]:
        """A few pairs (t, s): s is the first frame after t at least `travel_m` away."""
        pairs = []
        for t, place in enumerate(self.positions):
            far = np.flatnonzero(np.linalg.norm(self.positions[t + 1 :] - place, axis=1) >= travel_m)
            if len(far):
                pairs.append((t, t + 1 + int(far[0])))
        return spread(pairs, self.num_samples)

    def points_world(self, t: int) -> Float[Tensor, "n 3"]:
        """At most `max_points` LiDAR points of one time stamp in the clip's world, evenly thinned."""
        if t not in self._scans:
            points = load_points_world(self.clip, t)
            self._scans[t] = points[:: max(1, -(-len(points) // MAX_POINTS))]
        return self._scans[t]

    def points_ego(self, t: int) -> Float[np.ndarray, "n 3"]:
        """The points of `points_world` in the ego frame."""
        pose = self.clip.world_from_ego[t]
        return ((self.points_world(t) - pose[:3, 3]) @ pose[:3, :3]).double().numpy()


def spread(items: list, most: int) -> list:
    """At most `most` items, evenly spaced, first and last included."""
    if len(items) <= most:
        return items
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, most)]


def gather(clip: DriveClip, num_samples: int) -> Evidence:
    """Reads all images small and the beginnings of all scans. InputError for an image that cannot be decoded."""
    thumbs = {
        name: np.stack([_thumb(clip.frame(t, name), THUMB_PX) for t in range(clip.num_frames)])
        for name in clip.camera_names
    }
    return Evidence(
        clip, num_samples, thumbs, tuple(None if path is None else _digest(path) for path in clip.lidar_paths)
    )


def _thumb(frame: Frame, width: int) -> Float[np.ndarray, "h w"]:
    height = max(8, round(width * frame.camera.height / frame.camera.width))
    with decoding(frame.image_path) as image:
        image.draft("L", (2 * width, 2 * height))  # a JPEG is decoded at a part of its size
        shown = Image.fromarray(rgb_bytes(image)) if image.mode.startswith("I") else image
        small = shown.convert("L").resize((width, height), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32) / 255.0


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.blake2b(file.read(DIGEST_BYTES)).hexdigest()


def without_shading(images: Float[Tensor, "n h w"], radius_px: int) -> Float[Tensor, "n h w"]:
    """Images less their own blur: brightness that changes slowly over the picture says nothing about geometry."""
    smooth = images[:, None]
    for _ in range(2):
        smooth = _box_blur(smooth, radius_px)
    return (_box_blur(images[:, None], 1) - smooth)[:, 0]


def _box_blur(images: Float[Tensor, "n 1 h w"], radius_px: int) -> Float[Tensor, "n 1 h w"]:
    padded = torch.nn.functional.pad(images, (radius_px,) * 4, mode="replicate")
    return torch.nn.functional.avg_pool2d(padded, 2 * radius_px + 1, stride=1)
