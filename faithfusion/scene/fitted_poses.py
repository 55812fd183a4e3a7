"""The recording vehicle's poses as the fit refined them.

GPS and odometry are a few centimetres and hundredths of a degree off from frame to frame: a pixel or more near the car.
The fit corrects the pose of the whole vehicle, smoothly in time, so cameras and time stamps that were kept back are
corrected with the others.
"""

from __future__ import annotations

import dataclasses

import torch

from faithfusion.types import DriveClip, Frame, GaussianScene


def clip_as_fitted(clip: DriveClip, scene: GaussianScene) -> DriveClip:
    """The drive with the vehicle, its cameras and its LiDAR where the scene's fit put them; boxes stay in the world.

    A scene that knows no poses, or a clip with more time stamps than the fit saw, leaves (the rest of) the clip alone.
    """
    if scene.world_from_ego is None:
        return clip
    refined = clip.world_from_ego.clone()
    num = min(len(refined), len(scene.world_from_ego))
    refined[:num] = scene.world_from_ego[:num].to(refined)
    world_from_world = refined.double() @ torch.linalg.inv(clip.world_from_ego.double())

    def moved(frame: Frame) -> Frame:
        pose = world_from_world[frame.time_index] @ frame.camera.world_from_camera.double()
        camera = dataclasses.replace(frame.camera, world_from_camera=pose.to(frame.camera.world_from_camera))
        return dataclasses.replace(frame, camera=camera)

    return dataclasses.replace(clip, frames=tuple(moved(frame) for frame in clip.frames), world_from_ego=refined)
