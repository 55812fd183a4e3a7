"""Corrections of poses and shapes: interpolation, small rigid transforms, and that they find what was disturbed."""

import dataclasses

import pytest
import torch
from scipy.spatial.transform import Rotation

from faithfusion.fit.fit_config import MotionConfig
from faithfusion.fit.motion import NodeMotion, make_knots, rigid_transforms
from faithfusion.scene.deform import box_handles
from faithfusion.types import RigidNode
from faithfusion.utils.errors import InputError


def straight_node(track_id: str, times: list[int], with_handles: bool = False) -> RigidNode:
    pose = torch.eye(4).repeat(len(times), 1, 1)
    pose[:, 0, 3] = torch.tensor(times).float()
    node = RigidNode(track_id, torch.tensor([4.0, 2.0, 1.5]), torch.tensor(times), pose)
    if not with_handles:
        return node
    handles = box_handles(node.size_m)
    return dataclasses.replace(node, handles_m=handles, handle_offsets_m=torch.zeros(len(times), *handles.shape))


def test_knots_interpolate_each_axis_for_itself() -> None:
    knots = make_knots([torch.tensor([3, 4, 5, 6]), torch.tensor([0]), torch.tensor([1, 6])], 2)
    assert knots.count == 3 + 1 + 4
    values = torch.tensor([0.0, 2.0, 6.0, 50.0, 10.0, 11.0, 12.0, 14.0])[:, None]
    assert knots.at(values)[:, 0].tolist() == [0.0, 1.0, 2.0, 4.0, 50.0, 10.0, 13.0]


def test_rigid_transforms_are_rotations_and_differentiable_at_zero() -> None:
    shift, turn = torch.randn(4, 3).double(), torch.randn(4, 3).double()
    expected = torch.from_numpy(Rotation.from_rotvec(turn.numpy()).as_matrix())
    result = rigid_transforms(shift, turn)
    torch.testing.assert_close(result[:, :3, :3], expected)
    torch.testing.assert_close(result[:, :3, 3], shift)
    zero = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rigid_transforms, (zero, zero.detach().clone().requires_grad_()))


def test_without_corrections_nodes_are_what_they_were() -> None:
    nodes = (straight_node("car", [2, 3, 5]), straight_node("person", [0, 1, 2], with_handles=True))
    motion = NodeMotion(nodes, MotionConfig())
    for before, after in zip(nodes, motion.nodes(), strict=True):
        torch.testing.assert_close(after.world_from_node, before.world_from_node)
        assert torch.equal(after.time_indices, before.time_indices)
    car, person = motion.nodes_at(2)
    assert car.time_indices.tolist() == [2] and person.handle_offsets_m.shape == (1, 16, 3)
    car, person = motion.nodes_at(5)
    torch.testing.assert_close(car.world_from_node[0], nodes[0].world_from_node[2])
    assert len(person.time_indices) == 0


def test_a_disturbed_pose_is_found_and_one_time_stamp_equals_all() -> None:
    true = straight_node("car", list(range(9)))
    wrong = true.world_from_node @ rigid_transforms(
        torch.tensor([[0.1, -0.2, 0.05]]), torch.tensor([[0.0, 0.01, 0.05]])
    )
    motion = NodeMotion((dataclasses.replace(true, world_from_node=wrong),), MotionConfig(pose_knot_frames=4))
    optimizer = torch.optim.Adam([value for value in motion.parameters.values() if value.numel()], lr=5e-3)
    for step in range(400):
        pose = motion.nodes_at(step % 9)[0].world_from_node[0]
        loss = (pose - true.world_from_node[step % 9]).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    refined = motion.nodes()[0].world_from_node.detach()
    torch.testing.assert_close(refined, true.world_from_node, atol=1e-2, rtol=0)
    torch.testing.assert_close(motion.nodes_at(6)[0].world_from_node[0], refined[6])


def test_no_time_between_knots_is_refused() -> None:
    with pytest.raises(InputError, match="motion.pose_knot_frames"):
        MotionConfig(pose_knot_frames=0)
