"""What `import faithfusion` offers, and what it costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import faithfusion

FIT_AND_MAP = """
import sys

class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ImportError(name + " is not there")

sys.meta_path.insert(0, Refusal())
import torch
from faithfusion import Camera, EigField, gaussians_from_gsplat, scene_before_color, whole_view
spots = torch.rand(30, 3) * 2 - 1
means, scales = spots + torch.tensor([0.0, 0.0, 4.0]), torch.full((30, 3), 0.2)
gaussians = gaussians_from_gsplat(means, torch.rand(30, 4), scales, torch.rand(30), torch.rand(30, 3))
camera = Camera(torch.tensor([[20.0, 0.0, 16.0], [0.0, 20.0, 12.0], [0.0, 0.0, 1.0]]), torch.eye(4), 32, 24)
field = EigField.fit(scene_before_color(gaussians), [whole_view(camera)])
print(field.map(camera)[0].eig_nats.shape, field.volume([camera])[0].expected_sq_error.isfinite().all())
"""
NOT_FOR_EIG = (
    "accelerate",
    "decord",
    "deepspeed",
    "diffusers",
    "diffsynth",
    "embreex",
    "ftfy",
    "gsplat",
    "huggingface_hub",
    "matplotlib",
    "peft",
    "tensorboard",
    "torchmetrics",
    "torchvision",
    "transformers",
    "trimesh",
    "viser",
)


def python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("name", faithfusion.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(faithfusion, name).__doc__
    assert name in dir(faithfusion)


def test_type_checkers_see_the_names_where_they_come_from() -> None:
    tree = ast.parse(Path(faithfusion.__file__).read_text())
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in checked.body for alias in node.names}
    assert sorted(seen) == sorted(faithfusion.__all__)
    for name, module in seen.items():
        assert getattr(import_module(module), name) is getattr(faithfusion, name), name
    with pytest.raises(AttributeError, match="no attribute 'eig_mapp'"):
        _ = faithfusion.eig_mapp


def test_the_package_alone_imports_nothing_of_others() -> None:
    """So that it takes a hundredth of a second; torch alone would take seconds."""
    code = "import sys; before = set(sys.modules); import faithfusion; print(*set(sys.modules) - before)"
    names = {name.partition(".")[0] for name in python(code).split()}
    assert "faithfusion" in names
    assert names - {"faithfusion"} <= sys.stdlib_module_names


def test_eig_needs_neither_diffusers_nor_deepspeed() -> None:
    assert python(FIT_AND_MAP.replace("{blocked}", repr(set(NOT_FOR_EIG)))).split()[-1] == "tensor(True)"
