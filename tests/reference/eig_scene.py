"""A small scene with a turned, moving node, in float32 and float64, and cameras around it."""

from __future__ import annotations

import dataclasses
import math

import torch

from faithfusion.eig.observe import TrainingView
from faithfusion.types import Camera, Gaussians, GaussianScene, RigidNode, Sky
from faithfusion.utils.seed import make_generator


def make_camera(shift_m: float = 0.0, width: int = 40, height: int = 27) -> Camera:
    """Looks along +x of a z-up world, moved `shift_m` to the left."""
    pose = torch.eye(4)
    pose[:3, :3] = torch.tensor([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    pose[1, 3] = shift_m
    intrinsics = torch.tensor([[30.0, 0.0, width / 2 + 0.7], [0.0, 32.0, height / 2 - 0.4], [0.0, 0.0, 1.0]])
    return Camera(intrinsics, pose, width, height)


def make_scene(num: int = 20) -> GaussianScene:
    """Every fourth Gaussian belongs to a node, 1 m to the left and turned by 40 degrees, present at time index 0."""
    generator = make_generator(0, "eig test scene")

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    means = torch.stack([uniform(3, 7, num), uniform(-2, 2, num), uniform(-1.2, 1.2, num)], -1)
    node_ids = (torch.arange(num) % 4 == 3).int()
    angle = math.radians(40.0)
    pose = torch.eye(4)
    pose[:2, :2] = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    pose[:3, 3] = torch.tensor([5.0, 1.0, 0.0])
    means = torch.where(node_ids[:, None] == 1, means - torch.tensor([5.0, 0.0, 0.0]), means)
    gaussians = Gaussians(
        means=means,
        quats=torch.randn(num, 4, generator=generator),
        log_scales=uniform(-2.5, -0.7, num, 3),
        opacity_logits=uniform(-1.5, 3.0, num),
        colors=uniform(-1.2, 1.2, num, 1, 3),
    )
    node = RigidNode("car", torch.tensor([4.0, 2.0, 1.5]), torch.tensor([0]), pose[None])
    return GaussianScene(gaussians, node_ids, (node,), Sky(uniform(0.2, 0.8, 8, 16, 3)))


def to_double(scene: GaussianScene) -> GaussianScene:
    """The same numbers in float64."""
    gaussians = Gaussians(**{k: v.double() for k, v in vars(scene.gaussians).items()})
    nodes = tuple(dataclasses.replace(node, world_from_node=node.world_from_node.double()) for node in scene.nodes)
    return dataclasses.replace(scene, gaussians=gaussians, nodes=nodes, sky=Sky(scene.sky.texture.double()))


def double_camera(camera: Camera) -> Camera:
    """The same camera in float64."""
    return dataclasses.replace(
        camera, intrinsics=camera.intrinsics.double(), world_from_camera=camera.world_from_camera.double()
    )


def make_views(count: int, *, time_index: int = 0) -> list[TrainingView]:
    """Whole images from cameras 0.4 m apart."""
    cameras = [make_camera(0.4 * index) for index in range(count)]
    return [TrainingView(c, time_index, torch.ones(c.height, c.width, dtype=torch.bool)) for c in cameras]


def to_device(scene: GaussianScene, views: list[TrainingView], device: str) -> tuple[GaussianScene, list[TrainingView]]:
    """Scene, cameras and masks on a device."""
    gaussians = Gaussians(**{k: v.to(device) for k, v in vars(scene.gaussians).items()})
    nodes = tuple(
        dataclasses.replace(n, time_indices=n.time_indices.to(device), world_from_node=n.world_from_node.to(device))
        for n in scene.nodes
    )
    moved = GaussianScene(gaussians, scene.node_ids.to(device), nodes, Sky(scene.sky.texture.to(device)))
    return moved, [dataclasses.replace(v, camera=v.camera.to(device), mask=v.mask.to(device)) for v in views]
