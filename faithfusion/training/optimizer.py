"""AdamW parameter groups, the learning rate as a pure function of progress, and what an optimiser is for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from faithfusion.utils.errors import InputError

STUDENT = "student"
"""The role whose weights are averaged, validated and exported; every method has it."""


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with warm-up and decay.

    Attributes:
        learning_rate: Peak learning rate.
        schedule: Decay after the warm-up.
        warmup_steps: Steps of linear warm-up.
        final_fraction: Last learning rate divided by the peak (cosine only).
        beta1: Decay of the first moment.
        beta2: Decay of the second moment.
        epsilon: Term added to the root of the second moment.
        weight_decay: Decoupled decay of matrices and kernels; biases, norms and other vectors have none.
        gradient_clipping: Largest global L2 norm of the gradient.
        accumulation_steps: Micro-batches per optimiser step.
    """

    learning_rate: float = 5e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_steps: int = 100
    final_fraction: float = 0.02
    beta1: float = 0.9
    beta2: float = 0.99
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    gradient_clipping: float = 1.0
    accumulation_steps: int = 1

    def __post_init__(self) -> None:
        for name in ("learning_rate", "gradient_clipping", "accumulation_steps"):
            if getattr(self, name) <= 0:
                raise InputError(f"optimizer.{name}", getattr(self, name), "a positive number")


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
