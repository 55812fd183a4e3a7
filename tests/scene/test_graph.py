"""Posing of nodes: against a loop over Gaussians with matrices."""

import dataclasses
import math

import torch
from scipy.spatial.transform import Rotation

from faithfusion.scene.graph import ABSENT_OPACITY_LOGIT, gaussians_at
from faithfusion.types import Gaussians, GaussianScene, RigidNode, Sky
from faithfusion.utils.harmonics import SH_0


def make_scene(dtype: torch.dtype = torch.float32) -> GaussianScene:
    gaussians = Gaussians(
        means=torch.randn(6, 3, dtype=dtype),
        quats=torch.randn(6, 4, dtype=dtype),
        log_scales=torch.randn(6, 3, dtype=dtype),
        opacity_logits=torch.randn(6, dtype=dtype),
        colors=torch.randn(6, 1, 3, dtype=dtype),
    )
    pose = torch.eye(4).repeat(2, 1, 1)
    pose[:, :3, :3] = torch.from_numpy(Rotation.from_euler("zyx", [[0.7, 0.1, -0.2], [1.9, 0.0, 0.3]]).as_matrix())
    pose[:, :3, 3] = torch.tensor([[5.0, 1.0, 0.2], [9.0, -2.0, 0.1]])
    late = RigidNode("late", torch.ones(3), torch.tensor([4, 7]), pose)
    early = RigidNode("early", torch.ones(3), torch.tensor([0]), torch.eye(4)[None])
    return GaussianScene(gaussians, torch.tensor([0, 1, 1, 2, 0, 1]), (late, early), Sky(torch.zeros(4, 8, 3)))


def covariance(quat: torch.Tensor, log_scale: torch.Tensor) -> torch.Tensor:
    rotation = torch.from_numpy(Rotation.from_quat(quat.double().numpy(), scalar_first=True).as_matrix())
    return rotation @ torch.diag(log_scale.double().exp() ** 2) @ rotation.T


def test_members_move_with_their_node_and_the_background_stays() -> None:
    scene = make_scene()
    world = gaussians_at(scene, 7)
    pose = scene.nodes[0].world_from_node[1].double()
    for i, node_id in enumerate(scene.node_ids.tolist()):
        before = scene.gaussians
        local_cov = covariance(before.quats[i], before.log_scales[i])
        world_cov = covariance(world.quats[i], world.log_scales[i])
        if node_id == 1:
            torch.testing.assert_close(world.means[i].double(), pose[:3, :3] @ before.means[i].double() + pose[:3, 3])
            torch.testing.assert_close(world_cov, pose[:3, :3] @ local_cov @ pose[:3, :3].T, rtol=1e-4, atol=1e-5)
        else:
            torch.testing.assert_close(world.means[i], before.means[i])
            torch.testing.assert_close(world_cov, local_cov)


def test_absent_nodes_are_culled_and_others_keep_their_opacity() -> None:
    scene = make_scene()
    logits = gaussians_at(scene, 7).opacity_logits
    assert logits[3] == ABSENT_OPACITY_LOGIT and torch.sigmoid(logits[3]) == 0
    others = [0, 1, 2, 4, 5]
    torch.testing.assert_close(logits[others], scene.gaussians.opacity_logits[others])
    assert (gaussians_at(scene, 3).opacity_logits[[1, 2, 3, 5]] == ABSENT_OPACITY_LOGIT).all()


def test_gradients_flow_back_into_node_coordinates() -> None:
    scene = make_scene(torch.float64)

    def world_means(means: torch.Tensor, quats: torch.Tensor, logits: torch.Tensor) -> tuple[torch.Tensor, ...]:
        g = scene.gaussians
        moved = GaussianScene(
            Gaussians(means, quats, g.log_scales, logits, g.colors), scene.node_ids, scene.nodes, scene.sky
        )
        world = gaussians_at(moved, 4)
        return world.means, world.quats, torch.sigmoid(world.opacity_logits)

    inputs = [t.clone().requires_grad_() for t in (scene.gaussians.means, scene.gaussians.quats)]
    assert torch.autograd.gradcheck(world_means, (*inputs, scene.gaussians.opacity_logits.clone().requires_grad_()))


def test_half_turn_keeps_length_of_quaternion() -> None:
    scene = make_scene()
    late, early = scene.nodes
    turned = late.world_from_node.clone()
    turned[:, :3, :3] = torch.from_numpy(Rotation.from_euler("z", math.pi).as_matrix()).float()
    nodes = (RigidNode("turned", late.size_m, late.time_indices, turned), early)
    world = gaussians_at(GaussianScene(scene.gaussians, scene.node_ids, nodes, scene.sky), 4)
    torch.testing.assert_close(world.quats[1].norm(), scene.gaussians.quats[1].norm())


def test_brightness_of_a_node_scales_its_colour_at_its_time() -> None:
    scene = make_scene()
    late = dataclasses.replace(scene.nodes[0], log_gains=torch.randn(2, 3) * 0.3)
    lit = gaussians_at(dataclasses.replace(scene, nodes=(late, scene.nodes[1])), 7).colors
    for i, node_id in enumerate(scene.node_ids.tolist()):
        rgb, expected = (0.5 + SH_0 * colors[i, 0] for colors in (lit, scene.gaussians.colors))
        if node_id == 1:
            expected = expected * late.log_gains[1].exp()
        torch.testing.assert_close(rgb, expected)


def test_gradients_of_nodes_add_up_in_one_order_however_many_threads() -> None:
    """A fit comes out the same twice; what [] does in the backward pass of 200 000 members would not."""
    scene, num = make_scene(), 200_000
    rows = torch.arange(num) % 6
    many = Gaussians(
        **{field.name: getattr(scene.gaussians, field.name)[rows] for field in dataclasses.fields(Gaussians)}
    )
    weight = torch.randn(num, 3)

    def gradient(num_threads: int) -> torch.Tensor:
        torch.set_num_threads(num_threads)
        poses = scene.nodes[0].world_from_node.clone().requires_grad_()
        gains = torch.zeros(2, 3, requires_grad=True)
        nodes = (dataclasses.replace(scene.nodes[0], world_from_node=poses, log_gains=gains), scene.nodes[1])
        world = gaussians_at(GaussianScene(many, scene.node_ids[rows], nodes, scene.sky), 7)
        (world.means * weight + world.colors[:, 0] * weight).sum().backward()
        return torch.cat([poses.grad.flatten(), gains.grad.flatten()])

    before = torch.get_num_threads()
    try:
        alone = gradient(1)
        assert all(torch.equal(gradient(2), alone) for _ in range(4))
    finally:
        torch.set_num_threads(before)
