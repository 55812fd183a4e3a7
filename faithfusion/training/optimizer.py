"""AdamW parameter groups, the learning rate as a pure function of progress, and what an optimiser is for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from faithfusion.training.run_config import OptimizerConfig

STUDENT = "student"
"""The role whose weights are averaged, validated and exported; every method has it."""


@dataclass(frozen=True)
class Role:
    """One of the networks that a method trains, each with an optimiser of its own.

    The registered parameters of `module` are what is trained, under the generator's own names. Its forward(batch,
    random generator) gives the loss and what to log.
    """

    module: nn.Module
    optimizer: OptimizerConfig


def learning_rate(config: OptimizerConfig, step: int, progress: float) -> float:
    """The rate of optimiser step `step` (from 0), with `progress` in [0, 1] the finished part of the whole run."""
    warmup = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps > 0 else 1.0
    if config.schedule == "constant":
        return config.learning_rate * warmup
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, max(0.0, progress))))
    return config.learning_rate * warmup * (config.final_fraction + (1.0 - config.final_fraction) * cosine)


def build_optimizer(config: OptimizerConfig, module: nn.Module) -> torch.optim.AdamW:
    """AdamW over the parameters of `module` that require gradients, vectors without weight decay."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        eps=config.epsilon,
    )
