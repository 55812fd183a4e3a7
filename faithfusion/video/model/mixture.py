"""Mixing what shows the same place: the render and the recorded views that were warped into it."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

START_WEIGHT = 0.9
"""Of the render, before any training."""


def mixture(
    render: Float[Tensor, "b c *place"],
    views: Float[Tensor, "b n c *place"],
    trust: Float[Tensor, "b n *place"],
    logits: Float[Tensor, "b m *place"],
) -> Float[Tensor, "b c *place"]:
    """sum_i softmax(logits + log trust)_i source_i over m = 1 + n sources: the render (trust 1) and the views.

    A view without trust has no weight, whatever it holds.
    """
    prior = torch.cat([torch.zeros_like(logits[:, :1]), trust.log()], dim=1)
    weights = (logits + prior).softmax(dim=1)
    sources = torch.cat([render[:, None], views], dim=1)
    return (weights[:, :, None] * sources).sum(1)


def start_logit(num_views: int) -> float:
    """The render's logit at which it has START_WEIGHT beside fully trusted views of logit 0."""
    return math.log(max(num_views, 1) * START_WEIGHT / (1.0 - START_WEIGHT))
