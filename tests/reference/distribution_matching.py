"""Slow, obvious twin of `training.distribution_matching`: cell by cell, from the formulas; and a toy problem with
a teacher in closed form."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Tensor, nn

Velocity = Callable[[Tensor, Tensor], Tensor]


def level(phi: float, path: str) -> float:
    return phi if path == "hold" else round(phi * 31) / 31


def moves(path: str, t: float, phi: float) -> bool:
    return phi >= t if path == "hold" else level(phi, path) > 0


def noised(path: str, x0: float, render: float, noise: float, t: float, phi: float) -> float:
    """The path's state of one cell."""
    p, start = level(phi, path), x0 if moves(path, t, phi) else render
    if path == "hold":
        return (1 - t) * start + t * noise
    if path == "per_token":
        return (1 - p * t) * start + p * t * noise
    return (1 - t) * start + t * ((1 - p) * render + p * noise)


def clean(path: str, x: float, velocity: float, t: float, phi: float) -> float:
    """The clean value that a velocity implies."""
    return x - (level(phi, path) if path == "per_token" else 1.0) * t * velocity


def each_cell(shape: torch.Size) -> list[list[int]]:
    return torch.cartesian_prod(*map(torch.arange, shape)).tolist()


def noised_all(path: str, x0: Tensor, render: Tensor, noise: Tensor, time: Tensor, phi: Tensor) -> Tensor:
    result = torch.empty_like(x0)
    for b, c, k, i, j in each_cell(x0.shape):
        values = (float(v[b, c, k, i, j]) for v in (x0, render, noise))
        result[b, c, k, i, j] = noised(path, *values, float(time[b]), float(phi[b, k, i // 2, j // 2]))
    return result


def clean_all(path: str, x: Tensor, velocity: Tensor, time: Tensor, phi: Tensor) -> Tensor:
    result = torch.empty_like(x)
    for b, c, k, i, j in each_cell(x.shape):
        values = x[b, c, k, i, j].item(), velocity[b, c, k, i, j].item()
        result[b, c, k, i, j] = clean(path, *values, float(time[b]), float(phi[b, k, i // 2, j // 2]))
    return result


def direction_loops(
    path: str, x0: Tensor, real: Tensor, fake: Tensor, times: tuple[Tensor, Tensor], phi: Tensor
) -> tuple[Tensor, int]:
    """(critic's x0 - teacher's x0) / mean |x0 - teacher's x0| of the cells that move at both times (the student's and
    the random one), and how many do."""
    direction, count = torch.zeros_like(x0), 0
    for b in range(x0.shape[0]):
        cells = [
            (c, k, i, j)
            for c, k, i, j in each_cell(x0.shape[1:])
            if all(moves(path, float(time[b]), float(phi[b, k, i // 2, j // 2])) for time in times)
        ]
        distance = sum(abs(float(x0[b][cell] - real[b][cell])) for cell in cells) / max(len(cells), 1)
        for cell in cells:
            direction[b][cell] = (fake[b][cell] - real[b][cell]) / distance
        count += len(cells)
    return direction, count


class Toy:
    """What a sampler wants of a generator beside its velocity."""

    def __init__(self, schedule: object) -> None:
        super().__init__()
        self.config = SimpleNamespace(schedule=schedule)

    def prepare(self, conditions: object) -> object:
        return conditions


class Mixture(Toy):
    """Exact velocity of the bridge from a render of 0 to 0.5 N(-1, s^2) + 0.5 N(1, s^2) in every cell.

    x_t = (1 - t) x0 + t phi n, so Bayes over the two modes gives the mean of x0, and the velocity is (x_t - x0) / t.
    """

    def __init__(self, schedule: object, deviation: float = 0.2) -> None:
        super().__init__(schedule)
        self._variance = deviation**2

    def velocity(self, x_t: Tensor, time: Tensor, conditions: object, **_: object) -> Tensor:
        t = time.reshape(-1, 1, 1, 1, 1)
        spread = (1 - t).square() * self._variance + (t * strength(conditions)).square()
        logits, means = [], []
        for mode in (-1.0, 1.0):
            rest = x_t - (1 - t) * mode
            logits.append(-0.5 * rest.square() / spread)
            means.append(mode + (1 - t) * self._variance / spread * rest)
        x0 = (torch.stack(logits).softmax(0) * torch.stack(means)).sum(0)
        return (x_t - x0) / t


class CellNetwork(Toy, nn.Module):
    """A velocity of every cell by itself, from (x_t, t, phi)."""

    def __init__(self, schedule: object, width: int = 64) -> None:
        super().__init__(schedule)
        self.layers = nn.Sequential(
            nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1)
        )

    def velocity(self, x_t: Tensor, time: Tensor, conditions: object, **_: object) -> Tensor:
        t = time.reshape(-1, 1, 1, 1, 1).expand_as(x_t)
        return self.layers(torch.stack([x_t, t, strength(conditions).expand_as(x_t)], dim=-1))[..., 0]


def strength(conditions: object) -> Tensor:
    """phi of every cell at its level."""
    levels = (conditions.phi * 31).round() / 31
    return levels.repeat_interleave(2, -2).repeat_interleave(2, -1)[:, None]


def wasserstein_1(a: Tensor, b: Tensor) -> float:
    """Distance of two samples of one number, of the same size: sorted, then compared in pairs."""
    return float((a.flatten().sort().values - b.flatten().sort().values).abs().mean())
