"""A clip of a scene from new poses, as the editor takes it: render, EIG and true views nearby."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from faithfusion.clips.windows import Span
from faithfusion.data.trajectories import distance_from_path_m
from faithfusion.distill.assess import Assessment
from faithfusion.distill.references import choose_references, load_references, stacked_poses
from faithfusion.eig.config import EigConfig
from faithfusion.eig.volume import eig_volume
from faithfusion.types import Camera, DriveClip, Frame, GaussianScene, Window

FRAMES_PER_REFERENCE = 8
MIN_REFERENCES = 3


def window_of(
    scene: GaussianScene,
    assessment: Assessment,
    clip: DriveClip,
    cameras: Sequence[Camera],
    recorded: Sequence[Frame],
    config: EigConfig,
) -> Window:
    """Render and EIG volume from new poses of one image size, one per time stamp; references from `recorded` frames of
    any camera, those that see most of what is shown along the way."""
    times = list(range(clip.num_frames))
    distances_m = [distance_from_path_m(clip, camera) for camera in cameras]
    known = (assessment.posterior, assessment.calibration)
    eig, renders, depths = eig_volume(scene, *known, cameras, times, distances_m, config)
    unknown = torch.zeros(len(times)).bool()
    window = Window(renders, eig, depths, renders[:0], unknown, poses=stacked_poses(cameras))
    count = max(MIN_REFERENCES, len(times) // FRAMES_PER_REFERENCE)
    chosen = sorted(set(choose_references(window, cameras, times, Span(0, len(times)), recorded, count)))
    references, poses = load_references([recorded[index] for index in chosen], 1, renders.shape[1:3])
    return Window(renders, eig, depths, references, unknown, poses=window.poses, reference_poses=poses)
