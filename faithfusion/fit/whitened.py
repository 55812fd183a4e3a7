"""Gaussians moved from where they stand by numbers whose unit is the standard deviation of what is known of them.

    w_k = w*_k + L_k^T theta_k,    H_k^-1 = L_k^T L_k

w*: where the Gaussian stood; H: its precision (`eig.posterior`), in the order of `eig.jacobian`: mean 3, log-scale 3,
rotation tangent 3 (q = q* exp(r / 2)), opacity logit 1, diffuse colour 3. What the recorded views have settled hardly
moves when theta does, what they left open moves far, and all correlations of the block are kept. A gradient step on
theta is a natural-gradient step on w in the metric H, because L^T (L g) = H^-1 g (Amari, "Natural gradient works
efficiently in learning", 1998). Forward and backward are a Warp kernel each, on CPU and CUDA.
"""

# Signatures of Warp kernels hold values where Python has types.
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import warp as wp
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter

from faithfusion.types import Gaussians
from faithfusion.utils.warp_launch import as_warp, launch, prepare_warp

BLOCK = 13
THETA, HARMONICS = "theta", "harmonics"

vec13 = wp.types.vector(length=BLOCK, dtype=float)


@dataclass(frozen=True)
class Metric:
    """How far the parameters of every Gaussian may go, and together with which others.

    Attributes:
        roots: L_k, lower triangles row by row (`eig.step_roots`).
        rate: The learning rate of theta: standard deviations per step of Adam, at most.
        rate_end: The share of `rate` that is left at the end of an exponential decay.
    """

    roots: Float[Tensor, "n 91"]
    rate: float
    rate_end: float


class WhitenedGaussians:
    """Gaussians by theta, zeros at first. Harmonics above degree 0 are not in the block and stay as they are."""

    def __init__(self, start: Gaussians, roots: Float[Tensor, "n 91"]) -> None:
        values = [value.detach() for value in (start.means, start.quats, start.log_scales, start.opacity_logits)]
        self._start, self._harmonics = (*values, start.colors[:, 0].detach().contiguous()), start.colors[:, 1:].detach()
        self._roots = roots

    def parameters(self) -> dict[str, Parameter]:
        """What is to be optimised: theta [N, 13], and harmonics [N, K - 1, 3] where there are any."""
        parameters = {THETA: Parameter(self._roots.new_zeros(len(self._roots), BLOCK))}
        return parameters | ({HARMONICS: Parameter(self._harmonics.clone())} if self._harmonics.shape[1] else {})

    def gaussians(self, parameters: Mapping[str, Parameter]) -> Gaussians:
        """The Gaussians at these parameters, differentiable once."""
        means, quats, log_scales, logits, color = _Move.apply(parameters[THETA], self._roots, self._start)
        colors = color[:, None]
        if HARMONICS in parameters:
            colors = torch.cat([colors, parameters[HARMONICS]], dim=1)
        return Gaussians(means, quats, log_scales, logits, colors)


class _Move(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, theta: Float[Tensor, "n 13"], roots: Float[Tensor, "n 91"], start: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        moved, turns = tuple(torch.empty_like(value) for value in start), torch.empty_like(start[0])
        inputs = [_block(*start), as_warp(roots, wp.float32), as_warp(theta, wp.float32), as_warp(turns, wp.vec3)]
        launch(_move, len(theta), [*inputs, _block(*moved)], theta.device)
        ctx.save_for_backward(roots, start[1], turns)
        return moved

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        roots, quats, turns = ctx.saved_tensors
        by_theta = roots.new_empty(len(roots), BLOCK)
        inputs = [_block(*gradients), as_warp(quats, wp.vec4), as_warp(turns, wp.vec3), as_warp(roots, wp.float32)]
        launch(_pull_back, len(roots), [*inputs, as_warp(by_theta, wp.float32)], roots.device)
        return by_theta, None, None


@wp.struct
class Block:
    """The parameters in the block, or gradients by them."""

    means: wp.array(dtype=wp.vec3)
    quats: wp.array(dtype=wp.vec4)
    log_scales: wp.array(dtype=wp.vec3)
    opacity_logits: wp.array(dtype=float)
    colors: wp.array(dtype=wp.vec3)


def _block(means: Tensor, quats: Tensor, log_scales: Tensor, opacity_logits: Tensor, colors: Tensor) -> Block:
    prepare_warp()
    block = Block()
    block.means, block.quats = as_warp(means, wp.vec3), as_warp(quats, wp.vec4)
    block.log_scales, block.colors = as_warp(log_scales, wp.vec3), as_warp(colors, wp.vec3)
    block.opacity_logits = as_warp(opacity_logits, wp.float32)
    return block


@wp.func
def product(p: wp.vec4, q: wp.vec4) -> wp.vec4:
    """Of two quaternions, wxyz."""
    a = wp.vec3(p[1], p[2], p[3])
    b = wp.vec3(q[1], q[2], q[3])
    c = p[0] * b + q[0] * a + wp.cross(a, b)
    return wp.vec4(p[0] * q[0] - wp.dot(a, b), c[0], c[1], c[2])


@wp.func
def half_turn(turn: wp.vec3) -> wp.vec4:
    """exp(r / 2), wxyz, and by series where r is below 1: sines and cosines would take longer than all else."""
    x = wp.dot(turn, turn)
    cosine = 1.0 - x / 8.0 * (1.0 - x / 48.0 * (1.0 - x / 120.0))
    sine = 0.5 - x / 48.0 * (1.0 - x / 80.0 * (1.0 - x / 168.0))
    if x > 1.0:
        cosine = wp.cos(0.5 * wp.sqrt(x))
        sine = wp.sin(0.5 * wp.sqrt(x)) / wp.sqrt(x)
    return wp.vec4(cosine, sine * turn[0], sine * turn[1], sine * turn[2])


_STEP_OF = """
const float* L = roots.data + (long long)k * roots.shape[1];
const float* from = theta.data + (long long)k * theta.shape[1];
wp::vec_t<13, float> step;
#pragma unroll
for (int i = 0; i < 13; ++i) {
    const float factor = from[i];
    #pragma unroll
    for (int j = 0; j <= i; ++j) step.c[j] += L[i * (i + 1) / 2 + j] * factor;
}
return step;
"""
_WHITEN = """
const float* L = roots.data + (long long)k * roots.shape[1];
float* to = by_theta.data + (long long)k * by_theta.shape[1];
float any = 0.0f; // most Gaussians are out of sight, and need no root
for (int j = 0; j < 13; ++j) any += gradient.c[j] < 0.0f ? -gradient.c[j] : gradient.c[j];
if (any == 0.0f) {
    for (int i = 0; i < 13; ++i) to[i] = 0.0f;
    return;
}
#pragma unroll
for (int i = 0; i < 13; ++i) {
    float total = 0.0f;
    #pragma unroll
    for (int j = 0; j <= i; ++j) total += L[i * (i + 1) / 2 + j] * gradient.c[j];
    to[i] = total;
}
"""


@wp.func_native(_STEP_OF)
def step_of(k: int, roots: wp.array2d(dtype=float), theta: wp.array2d(dtype=float)) -> vec13: ...


@wp.func_native(_WHITEN)
def whiten(k: int, roots: wp.array2d(dtype=float), gradient: vec13, by_theta: wp.array2d(dtype=float)): ...


@wp.kernel(enable_backward=False)
def _move(
    first: int,
    start: Block,
    roots: wp.array2d(dtype=float),
    theta: wp.array2d(dtype=float),
    turns: wp.array(dtype=wp.vec3),
    moved: Block,
):
    """One thread per Gaussian computes w* + L^T theta, and keeps the rotation vector in it for `_pull_back`."""
    k = first + wp.tid()
    step = step_of(k, roots, theta)
    turn = wp.vec3(step[6], step[7], step[8])
    turns[k] = turn
    moved.means[k] = start.means[k] + wp.vec3(step[0], step[1], step[2])
    moved.log_scales[k] = start.log_scales[k] + wp.vec3(step[3], step[4], step[5])
    moved.quats[k] = product(start.quats[k], half_turn(turn))
    moved.opacity_logits[k] = start.opacity_logits[k] + step[9]
    moved.colors[k] = start.colors[k] + wp.vec3(step[10], step[11], step[12])


@wp.func
def turn_gradient(start: wp.vec4, turn: wp.vec3, by_quat: wp.vec4) -> wp.vec3:
    """From the gradient by q = q* exp(r / 2) to that by r, at any r."""
    by_turn = product(wp.vec4(start[0], -start[1], -start[2], -start[3]), by_quat)
    vector = wp.vec3(by_turn[1], by_turn[2], by_turn[3])
    x = wp.dot(turn, turn)
    sine = 0.5 - x / 48.0 * (1.0 - x / 80.0 * (1.0 - x / 168.0))  # sin(angle / 2) / angle
    bend = -1.0 / 24.0 + x / 960.0 * (1.0 - x / 112.0 * (1.0 - x / 216.0))  # its slope by the angle, over the angle
    if x > 1.0:
        sine = wp.sin(0.5 * wp.sqrt(x)) / wp.sqrt(x)
        bend = (0.5 * wp.cos(0.5 * wp.sqrt(x)) - sine) / x
    return sine * vector + (bend * wp.dot(turn, vector) - 0.5 * sine * by_turn[0]) * turn


@wp.kernel(enable_backward=False)
def _pull_back(
    first: int,
    by: Block,
    quats: wp.array(dtype=wp.vec4),
    turns: wp.array(dtype=wp.vec3),
    roots: wp.array2d(dtype=float),
    by_theta: wp.array2d(dtype=float),
):
    """One thread per Gaussian gathers g, the gradient by L^T theta, and computes L g."""
    k = first + wp.tid()
    mean = by.means[k]
    scale = by.log_scales[k]
    turn = turn_gradient(quats[k], turns[k], by.quats[k])
    color = by.colors[k]
    gradient = vec13()
    for c in range(3):
        gradient[c] = mean[c]
        gradient[3 + c] = scale[c]
        gradient[6 + c] = turn[c]
        gradient[10 + c] = color[c]
    gradient[9] = by.opacity_logits[k]
    whiten(k, roots, gradient, by_theta)
