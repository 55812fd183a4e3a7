"""Scenes survive the round trip; bad files are refused in one line."""

from pathlib import Path

import pytest
import torch

from faithfusion.scene.scene_file import load_scene, node_names, save_scene, save_tensors, scene_tensors
from faithfusion.types import Gaussians, GaussianScene, RigidNode, Sky
from faithfusion.utils.errors import InputError


def make_scene(num: int = 7, bases: int = 4) -> GaussianScene:
    gaussians = Gaussians(
        torch.randn(num, 3), torch.randn(num, 4), torch.randn(num, 3) - 2, torch.randn(num), torch.randn(num, bases, 3)
    )
    node = RigidNode("car 7", torch.tensor([4.0, 2, 1.5]), torch.tensor([3, 5]), torch.eye(4).repeat(2, 1, 1))
    return GaussianScene(gaussians, torch.tensor([0, 0, 1, 0, 1, 0, 0]), (node,), Sky(torch.rand(4, 8, 3)))


def test_scene_round_trip_is_exact(tmp_path: Path) -> None:
    scene = make_scene()
    save_scene(tmp_path / "scene.safetensors", scene, {"config": {"steps": 3}, "sigma": 0.25})
    loaded, metadata = load_scene(tmp_path / "scene.safetensors")
    assert metadata == {"config": {"steps": 3}, "sigma": 0.25}
    assert node_names(loaded) == node_names(scene)
    expected = scene_tensors(scene)
    for name, tensor in scene_tensors(loaded).items():
        assert torch.equal(tensor, expected[name]) and tensor.dtype == expected[name].dtype, name
    assert [p.name for p in tmp_path.iterdir()] == ["scene.safetensors"]


def test_bad_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_scene(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("not a scene")
    with pytest.raises(InputError, match="damaged"):
        load_scene(tmp_path / "text.safetensors")
    save_tensors(tmp_path / "other.safetensors", {"x": torch.zeros(1)}, {"format": "something"})
    with pytest.raises(InputError, match="something"):
        load_scene(tmp_path / "other.safetensors")
    scene = make_scene()
    short = scene_tensors(scene) | {"quats": torch.zeros(3, 4)}
    save_tensors(tmp_path / "short.safetensors", short, {"format": "faithfusion-scene-1", **node_names(scene)})
    with pytest.raises(InputError, match="quats has 3 rows"):
        load_scene(tmp_path / "short.safetensors")
