"""Handles of people: weights, displacement in the scene graph, gradients, and the file they are kept in."""

import dataclasses
from pathlib import Path

import pytest
import torch
from test_graph import make_scene

from faithfusion.data.instances import is_non_rigid
from faithfusion.scene.deform import GRID, box_handles, displacement_m, handle_weights
from faithfusion.scene.graph import gaussians_at
from faithfusion.scene.scene_file import load_scene, save_scene
from faithfusion.types import GaussianScene

SIZE_M = torch.tensor([0.8, 0.6, 1.8])


def walking_scene() -> GaussianScene:
    scene = make_scene()
    late = scene.nodes[0]
    handles = box_handles(SIZE_M)
    offsets = 0.2 * torch.randn(len(late.time_indices), *handles.shape)
    late = dataclasses.replace(late, size_m=SIZE_M, handles_m=handles, handle_offsets_m=offsets)
    return dataclasses.replace(scene, nodes=(late, scene.nodes[1]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Pedestrian", True), ("human.pedestrian.adult", True), ("BICYCLIST", True), ("Vehicle", False), ("bus", False)],
)
def test_people_change_shape_and_vehicles_do_not(name: str, expected: bool) -> None:
    assert is_non_rigid(name) is expected


def test_handles_fill_the_box_and_share_every_point() -> None:
    handles = box_handles(SIZE_M)
    assert handles.shape == (GRID[0] * GRID[1] * GRID[2], 3)
    torch.testing.assert_close(handles.mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(handles.amax(0), SIZE_M / 2 * (1 - 1 / torch.tensor(GRID)))
    weights = handle_weights(handles, handles, SIZE_M)
    torch.testing.assert_close(weights.sum(1), torch.ones(len(handles)))
    assert torch.equal(weights.argmax(1), torch.arange(len(handles)))


def test_weights_equal_the_slow_loop() -> None:
    handles, points = box_handles(SIZE_M), torch.randn(5, 3)
    weights = handle_weights(points, handles, SIZE_M)
    for i, point in enumerate(points):
        raw = [
            float(torch.exp(-2 * sum(((point - h)[k] / SIZE_M[k] * GRID[k]) ** 2 for k in range(3)))) for h in handles
        ]
        for c, value in enumerate(raw):
            assert abs(float(weights[i, c]) - value / sum(raw)) < 1e-5


def test_only_members_of_the_node_are_displaced_at_its_times() -> None:
    scene = walking_scene()
    still = dataclasses.replace(scene, nodes=make_scene().nodes)
    node = scene.nodes[0]
    moved, rest = gaussians_at(scene, 7), gaussians_at(still, 7)
    rotation = node.world_from_node[1, :3, :3]
    for i, node_id in enumerate(scene.node_ids.tolist()):
        expected = rest.means[i]
        if node_id == 1:
            expected = expected + rotation @ displacement_m(node, scene.gaussians.means[i : i + 1], 1)[0]
        torch.testing.assert_close(moved.means[i], expected)
    assert torch.equal(gaussians_at(scene, 0).means, gaussians_at(still, 0).means)


def test_gradients_reach_handles_and_poses() -> None:
    scene = walking_scene()
    node = scene.nodes[0]

    def means_and_quats(offsets: torch.Tensor, poses: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        moved = dataclasses.replace(node, handle_offsets_m=offsets, world_from_node=poses)
        world = gaussians_at(dataclasses.replace(scene, nodes=(moved, scene.nodes[1])), 4)
        return world.means, world.quats

    double = dataclasses.replace(
        scene.gaussians,
        **{f.name: getattr(scene.gaussians, f.name).double() for f in dataclasses.fields(scene.gaussians)},
    )
    scene = dataclasses.replace(scene, gaussians=double)
    inputs = (node.handle_offsets_m.double().requires_grad_(), node.world_from_node.double().requires_grad_())
    assert torch.autograd.gradcheck(means_and_quats, inputs)


def test_the_checkpoint_keeps_handles(tmp_path: Path) -> None:
    scene = walking_scene()
    save_scene(tmp_path / "scene.safetensors", scene, {})
    loaded, _ = load_scene(tmp_path / "scene.safetensors")
    assert torch.equal(loaded.nodes[0].handle_offsets_m, scene.nodes[0].handle_offsets_m)
    assert loaded.nodes[1].handles_m is None
    assert torch.equal(gaussians_at(loaded, 4).means, gaussians_at(scene, 4).means)
