"""A recorded drive as every stage of a run sees it: read once, split once, its ground worked out once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from faithfusion.data.drive_reader import read_drive
from faithfusion.data.picture_scale import require_own_intrinsics
from faithfusion.data.splits import Split, SplitConfig, split_clip
from faithfusion.scene.drive_lidar import DriveLidar
from faithfusion.scene.fitted_poses import clip_as_fitted
from faithfusion.scene.scene_config import InitialiseConfig
from faithfusion.types import DriveClip, GaussianScene


@dataclass(frozen=True)
class Drive:
    """The fitted part of a drive, which of its frames are for what, and its LiDAR."""

    clip: DriveClip
    split: Split
    lidar: DriveLidar

    def as_fitted(self, scene: GaussianScene) -> Drive:
        """The same drive with the poses that the scene's fit refined; itself if it refined none."""
        clip = clip_as_fitted(self.clip, scene)
        if clip is self.clip:
            return self
        parts = {part.name: getattr(self.split, part.name) for part in dataclasses.fields(Split)}
        moved = {
            name: tuple(clip.frame(frame.time_index, frame.camera_name) for frame in frames)
            for name, frames in parts.items()
        }
        lidar = DriveLidar(clip, self.lidar.max_dense_points, self.lidar.seed)
        return Drive(clip, Split(**moved), lidar)


def drive_of(clip: DriveClip, split: Split, initialise: InitialiseConfig, seed: int = 0) -> Drive:
    """A clip that is read already, with frames that are chosen already."""
    return Drive(clip, split, DriveLidar(clip, initialise.max_dense_points, seed))


def open_drive(
    root: Path | str,
    split: SplitConfig,
    initialise: InitialiseConfig,
    *,
    camera_names: Sequence[str] | None = None,
    num_frames: int | None = None,
    seed: int = 0,
) -> Drive:
    """Reads and splits the drive in `root`: the named cameras, or all, and the first `num_frames` time stamps, or all.

    Raises InputError for a drive that cannot be read or split, and for intrinsics of pictures of another size.
    """
    clip = read_drive(Path(root), camera_names=camera_names or None, num_frames=num_frames or None)
    require_own_intrinsics(clip)
    return drive_of(clip, split_clip(clip, split), initialise, seed)
