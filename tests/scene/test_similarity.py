"""A moved scene seen by a moved camera gives the same picture."""

import dataclasses

import numpy as np
import pytest
import torch
from reference.cloud import make_camera, make_gaussians, to_float64, with_gradients
from reference.raster import project_reference
from scipy.spatial.transform import Rotation

from faithfusion.render import render
from faithfusion.scene.move_gaussians import move_gaussians
from faithfusion.utils.similarity import Similarity


@pytest.mark.parametrize("scale", [1.0, 0.37, 12.0])
@pytest.mark.parametrize("bases", [1, 4, 9, 16])
def test_moved_scene_looks_the_same(bases: int, scale: float) -> None:
    """Screen positions, shapes and colours in float64; depths scale."""
    gaussians, camera = make_gaussians(300, coefficients=bases), to_float64(make_camera(80, 50))
    gaussians = with_gradients(gaussians, torch.float64)
    move = Similarity(Rotation.random(random_state=3).as_matrix(), np.array([400.0, -70.0, 3.0]), scale)
    pose = torch.from_numpy(move.move_pose(camera.world_from_camera.numpy()))
    before = project_reference(gaussians, camera)
    after = project_reference(move_gaussians(gaussians, move), dataclasses.replace(camera, world_from_camera=pose))
    ids = before["ids"][before["depths"] > 0.5]
    assert len(ids) > 200

    def seen(projection: dict[str, torch.Tensor], name: str) -> torch.Tensor:
        place = torch.full((300,), -1).index_copy(0, projection["ids"], torch.arange(len(projection["ids"])))
        return projection[name][place[ids]]

    assert torch.equal(seen(after, "ids"), ids)
    for name in ("means", "precisions", "opacities", "colors"):
        torch.testing.assert_close(seen(after, name), seen(before, name), atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(seen(after, "depths"), scale * seen(before, "depths"))


def test_moved_scene_renders_the_same() -> None:
    """The same in float32, but for the few pixels where rounding carries a Gaussian over the floor of 1/255."""
    gaussians, camera = make_gaussians(500, coefficients=16), make_camera(80, 50)
    move = Similarity(Rotation.random(random_state=3).as_matrix(), np.array([40.0, -7.0, 3.0]))
    pose = torch.from_numpy(move.move_pose(camera.world_from_camera.double().numpy())).float()
    background = torch.full((50, 80, 3), 0.4)
    before = render(gaussians, camera, background, backend="warp").color
    moved = dataclasses.replace(camera, world_from_camera=pose)
    after = render(move_gaussians(gaussians, move), moved, background, backend="warp").color
    difference = (after - before).abs().amax(-1)
    assert difference.quantile(0.995) < 1e-4 and difference.max() < 1 / 255


def test_slow_twin_of_one_gaussian() -> None:
    gaussians = make_gaussians(3, coefficients=4)
    move = Similarity(Rotation.from_euler("z", 90, degrees=True).as_matrix(), np.array([1.0, 2.0, 3.0]), 2.0)
    moved = move_gaussians(gaussians, move)
    for i in range(3):
        x, y, z = gaussians.means[i].tolist()
        torch.testing.assert_close(moved.means[i], torch.tensor([1 - 2 * y, 2 + 2 * x, 3 + 2 * z]))
        # basis -y, z, -x: what was along x is along y now, and what was along y along -x
        along_minus_y, along_z, along_minus_x = gaussians.colors[i, 1:4]
        expected = torch.stack([along_minus_x, along_z, -along_minus_y])
        torch.testing.assert_close(moved.colors[i, 1:4], expected)
    torch.testing.assert_close(moved.log_scales.exp(), 2.0 * gaussians.log_scales.exp())
