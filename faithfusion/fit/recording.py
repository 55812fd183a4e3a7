"""What a fit learns about the recording beside the scene: motion of objects, exposure of pictures, poses of the rig."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from faithfusion.fit.fit_config import RecordingConfig
from faithfusion.fit.fitted_exposure import FittedExposure
from faithfusion.fit.motion import NodeMotion, node_rates, rig_motion
from faithfusion.types import Camera, DriveClip, GaussianScene, RigidNode


@dataclass(frozen=True)
class Rig:
    """Cameras of the recording vehicle and its poses."""

    camera_names: tuple[str, ...]
    world_from_ego: Float[Tensor, "t 4 4"]


def rig_of(clip: DriveClip) -> Rig:
    """The rig of a drive."""
    return Rig(clip.camera_names, clip.world_from_ego)


class FittedRecording:
    """The recording under optimisation; `parameters` are what an optimiser steps, at `rates`."""

    def __init__(self, scene: GaussianScene, config: RecordingConfig, rig: Rig, device: torch.device | str) -> None:
        self._scene, self._rig = scene, rig
        self._motion = self._exposure = self._poses = None
        self.parameters: dict[str, Parameter] = {}
        self.rates: dict[str, float] = {}
        if config.motion is not None and scene.nodes:
            self._motion = NodeMotion(scene.nodes, config.motion, device)
            self._add(self._motion.parameters, node_rates(config.motion))
        if config.exposure is not None:
            num_frames = len(rig.world_from_ego)
            self._exposure = FittedExposure(rig.camera_names, num_frames, config.exposure, device)
            self._add(self._exposure.parameters, {"exposure_gains": config.exposure.gain_lr})
        if config.rig_poses is not None:
            self._poses, rates = rig_motion(_ego_node(rig.world_from_ego), config.rig_poses, device)
            self._add(self._poses.parameters, rates)

    def _add(self, parameters: dict[str, Parameter], rates: dict[str, float]) -> None:
        used = {name: value for name, value in parameters.items() if rates[name] > 0 and value.numel() > 0}
        self.parameters |= used
        self.rates |= {name: rates[name] for name in used}

    def describe(self, scene: GaussianScene, time_index: int | None) -> GaussianScene:
        """`scene` with what is known about the recording now; with `time_index` its nodes know that time stamp only,
        which is all that a view of that time needs."""
        changes: dict[str, object] = {}
        if self._motion is not None:
            changes["nodes"] = self._motion.nodes() if time_index is None else self._motion.nodes_at(time_index)
        if self._exposure is not None:
            changes["exposure"] = self._exposure.exposure()
        if self._poses is not None and time_index is None:
            changes["world_from_ego"] = self._poses.nodes()[0].world_from_node
        return dataclasses.replace(scene, **changes)

    def camera(self, camera: Camera, time_index: int) -> Camera:
        """A recorded camera where the vehicle is thought to have been; differentiable in the rig's poses."""
        if self._poses is None:
            return camera
        refined = self._poses.nodes_at(time_index)[0].world_from_node[0]
        ego_from_world = torch.linalg.inv(self._rig.world_from_ego[time_index].to(refined))
        return dataclasses.replace(camera, world_from_camera=refined @ ego_from_world @ camera.world_from_camera)

    def prior_losses(self) -> dict[str, Tensor]:
        """Terms of the objective that hold the recording near what the drive says."""
        return {} if self._exposure is None else {"exposure": self._exposure.prior_loss()}


def _ego_node(world_from_ego: Float[Tensor, "t 4 4"]) -> RigidNode:
    return RigidNode("ego", torch.ones(3), torch.arange(len(world_from_ego)), world_from_ego)
