"""The configurations of full size, on the meta device: what they build, without the weights they name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_training import REPOSITORY

from faithfusion.config import parse_config
from faithfusion.training.config import TrainConfig
from faithfusion.training.ds_config import merged_deepspeed_config
from faithfusion.training.method import build_method
from faithfusion.training.topology import Topology
from faithfusion.video.model.generator import Generator

FOLDER = REPOSITORY / "configs/train_video"
NAMES = ("branch_1.3b", "branch_14b", "vace_1.3b", "distil_1.3b")


def read(name: str) -> TrainConfig:
    return parse_config(TrainConfig, ["--config", str(FOLDER / f"{name}.yaml")])


def count(module: torch.nn.Module) -> float:
    """Parameters in millions."""
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


@pytest.mark.parametrize("name", NAMES)
def test_it_agrees_with_its_deepspeed_file(name: str) -> None:
    config = read(name)
    assert (REPOSITORY / config.deepspeed).is_file()
    merged = merged_deepspeed_config(
        parse_config(
            TrainConfig, ["--config", str(FOLDER / f"{name}.yaml"), f"--deepspeed={REPOSITORY / config.deepspeed}"]
        ),
        Topology(0, 8, torch.device("cuda", 0)),
    )
    assert merged["bf16"] == {"enabled": True} and merged["gradient_clipping"] == 1.0


SIZES = [("branch_1.3b", 1419, 46.4), ("branch_14b", 14289, 351.4), ("vace_1.3b", 1419, 46.4)]


@pytest.mark.parametrize(("name", "backbone", "per_block"), SIZES)
def test_backbone_and_branch_have_the_published_sizes(name: str, backbone: float, per_block: float) -> None:
    config = read(name)
    with torch.device("meta"):
        generator = Generator(config.generator)
    method = build_method(config, generator)
    trained = method.roles["student"].module
    adapters = count(trained.backbone)
    assert count(generator.backbone) - adapters == pytest.approx(backbone, rel=2e-3)
    blocks = config.generator.branch.num_blocks
    assert count(generator.branch.blocks) == pytest.approx(blocks * per_block, rel=2e-3)
    dim, rank = config.generator.wan.dim, config.generator.lora.rank
    assert adapters == pytest.approx(config.generator.wan.num_layers * 8 * 2 * dim * rank / 1e6)
    assert count(trained) == pytest.approx(count(generator.branch) + adapters)


def test_the_student_is_built_like_its_teacher() -> None:
    teacher, student = read("branch_1.3b"), read("distil_1.3b")
    assert student.generator == teacher.generator
    assert Path(student.init_from).parent == Path(teacher.run)
    assert student.distribution_matching.critic_learning_rate == 4 * student.optimizer.learning_rate
