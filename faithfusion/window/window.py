"""A clip of a scene from new poses, as the editor takes it: render, EIG and true views nearby."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from faithfusion.clips.windows import Span
from faithfusion.data.trajectories import distance_from_path_m
from faithfusion.eig.assess import Assessment
from faithfusion.eig.config import EigConfig
from faithfusion.eig.volume import eig_volume
from faithfusion.types import Camera, DriveClip, GaussianScene, Window
from faithfusion.window.references import choose_references, load_references, stacked_poses
from faithfusion.window.warp import WarpSource, warped_views

FRAMES_PER_REFERENCE = 8
MIN_REFERENCES = 3


def rendered_window(
    scene: GaussianScene,
    assessment: Assessment,
    clip: DriveClip,
    cameras: Sequence[Camera],
    times: Sequence[int],
    config: EigConfig,
) -> Window:
    """Render and EIG volume from new poses of one image size, one per time stamp; without references and truth."""
    distances_m = [distance_from_path_m(clip, camera) for camera in cameras]
    known = (assessment.posterior, assessment.calibration)
    eig, renders, depths = eig_volume(scene, *known, cameras, times, distances_m, config)
    unknown = torch.zeros(len(times)).bool()
    return Window(renders, eig, depths, renders[:0], unknown, poses=stacked_poses(cameras))


def window_of(
    scene: GaussianScene,
    assessment: Assessment,
    clip: DriveClip,
    cameras: Sequence[Camera],
    recorded: WarpSource,
    config: EigConfig,
) -> Window:
    """`rendered_window` at every time stamp, with what recorded frames of any camera show: those that see most of the
    clip as references, and the best for every pixel, warped."""
    times = list(range(clip.num_frames))
    window = rendered_window(scene, assessment, clip, cameras, times, config)
    frames = recorded.frames
    count = max(MIN_REFERENCES, len(times) // FRAMES_PER_REFERENCE)
    chosen = sorted(set(choose_references(window, cameras, times, Span(0, len(times)), frames, count)))
    references, poses = load_references([frames[index] for index in chosen], 1, window.render.shape[1:3])
    warped = warped_views(recorded, window, cameras, times)
    return dataclasses.replace(window, references=references, reference_poses=poses, warped=warped)
