"""The main job needs no extra of the package, and what does need one says how to install it."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from run_command import run_command
from torch import nn

from faithfusion.cli import train_video
from faithfusion.clips.video_file import count_frames
from faithfusion.utils.errors import InputError
from faithfusion.video.fixer import sd_turbo_weights
from faithfusion.video.model.config import LoraConfig
from faithfusion.video.model.lora import add_lora
from faithfusion.video.weights import prompt

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
NO_PART_OF_THE_CORE = {
    *("accelerate", "decord", "deep_sort_realtime", "deepspeed", "diffsynth", "ftfy", "nbformat", "onnxruntime"),
    *(
        "torch_fidelity",
        "peft",
        "pyarrow",
        "ray",
        "tensorboard",
        "torchmetrics",
        "torchvision",
        "transformers",
        "viser",
        "xformers",
    ),
}
OPEN_THE_MAIN_JOB = """
import importlib.util, sys

class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused}:
            raise ModuleNotFoundError("No module named " + name, name=name)

found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {refused} else found(name, package)
sys.meta_path.insert(0, Refusal())
import faithfusion.evaluate.report.summary
from faithfusion.pipeline.config import RefineConfig
from faithfusion.pipeline.refine import check_inputs
default = RefineConfig()
print(check_inputs(default).opened)
print(check_inputs(RefineConfig(editors=(*default.editors, {"kind": "fixer"}))).opened)
"""


def test_the_main_job_opens_its_editors_without_any_extra() -> None:
    code = OPEN_THE_MAIN_JOB.replace("{refused}", repr(NO_PART_OF_THE_CORE))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert "wan" in result.stdout and "fixer" in result.stdout


NEEDS: dict[str, tuple[str, Callable[[], object]]] = {
    "transformers": ("video", lambda: prompt.encode_prompts("nowhere", ["a street"])),
    "ftfy": ("video", lambda: prompt.encode_prompts("nowhere", ["a street"])),
    "peft": ("video", lambda: add_lora(nn.Sequential(nn.Linear(2, 2)), LoraConfig(rank=1, targets=("0",)))),
    "decord": ("train", lambda: count_frames(Path(__file__))),
}


@pytest.mark.parametrize("module", NEEDS)
def test_whoever_needs_an_extra_says_so(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    extra, call = NEEDS[module]
    with pytest.raises(InputError, match=rf'^{module}: not installed; expected pip install "faithfusion\[{extra}\]"$'):
        call()


def test_the_fixers_prompt_needs_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"faithfusion\[video\]"):
        sd_turbo_weights.encode_prompt("nowhere", "a street")


@pytest.mark.parametrize("module", ["deepspeed", "tensorboard", "decord"])
def test_training_says_what_it_needs_before_anything_else(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    ended = run_command(train_video.main, "--config", ROOT / "configs/train_video/wan_tiny.yaml", cwd=ROOT)
    assert ended.returncode == 2
    assert ended.stderr == f'error: {module}: not installed; expected pip install "faithfusion[train]"\n'


def test_every_extra_that_is_named_exists_and_dev_has_them_all() -> None:
    named = set()
    for path in sorted((ROOT / "faithfusion").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "require_extra":
                named.add(ast.literal_eval(node.args[0]))
    assert named == {"cluster", "diffsynth", "driving", "metrics", "train", "video", "viewer", "waymo"}
    (own,) = (entry for entry in EXTRAS["dev"] if entry.startswith("faithfusion["))
    assert named <= set(own.removeprefix("faithfusion[").removesuffix("]").split(","))
    assert named <= EXTRAS.keys()
