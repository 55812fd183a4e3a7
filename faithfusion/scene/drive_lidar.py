"""The LiDAR of a drive and the ground under it, put together once for all stages of a run."""

from __future__ import annotations

from collections.abc import Sequence

from faithfusion.scene.ground import Ground, fit_ground
from faithfusion.scene.pointcloud import PointCloud, accumulate_lidar, make_nodes
from faithfusion.types import DriveClip, Frame

RETURNS_PER_DENSE = 10
"""Returns held in memory for every one that is kept: a few million, whatever the length of the drive."""


class DriveLidar:
    """Scans of a drive in the world of its poses; the ground of a set of time stamps is worked out once.

    `max_dense_points`: see `InitialiseConfig`; `seed` draws the returns that stay of a long drive.
    """

    def __init__(self, clip: DriveClip, max_dense_points: int, seed: int = 0) -> None:
        self.clip, self.max_dense_points, self.seed = clip, max_dense_points, seed
        self._grounds: dict[tuple[int, ...], Ground | None] = {}

    def cloud(self, frames: Sequence[Frame]) -> PointCloud:
        """Returns of the scans at the time stamps of `frames`, static ones in the world, others in their boxes."""
        times = _times(frames)
        max_points = RETURNS_PER_DENSE * self.max_dense_points
        cloud = accumulate_lidar(self.clip, times, make_nodes(self.clip), max_points=max_points, seed=self.seed)
        self._grounds[times] = fit_ground(cloud.points[cloud.node_ids == 0])
        return cloud

    def ground(self, frames: Sequence[Frame]) -> Ground | None:
        """The ground surface from the static returns at the time stamps of `frames`; None without LiDAR."""
        times = _times(frames)
        if times not in self._grounds:
            self.cloud(frames)
        return self._grounds[times]


def _times(frames: Sequence[Frame]) -> tuple[int, ...]:
    return tuple(sorted({frame.time_index for frame in frames}))
