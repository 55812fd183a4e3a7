"""Slow, obvious twins of `schedule`, `paths` and `conditioning` of video/: scalar loops and textbook formulas."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def shift_scalar(s: float, shift: float) -> float:
    return shift * s / (1 + (shift - 1) * s)


def chunk_of(frame: int) -> int:
    """VAE chunk of a frame: {0}, {1..4}, {5..8}, ..."""
    return 0 if frame == 0 else (frame - 1) // 4 + 1


def path_state_loops(
    path: str, x0: Tensor, render: Tensor, noise: Tensor, time: Tensor, phi: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """State, velocity and which cells count, cell by cell; phi is at its level already where the path rounds it."""
    states, velocities, counts = [], [], torch.zeros(x0[:, :1].shape, dtype=torch.bool)
    for b, c, k, i, j in torch.cartesian_prod(*(torch.arange(n) for n in x0.shape)).tolist():
        t, strength = time[b], phi[b, k, i // 2, j // 2]
        free = bool(t <= strength) if path == "hold" else bool(strength > 0)
        counts[b, 0, k, i, j] = free
        n, r = noise[b, c, k, i, j], render[b, c, k, i, j]
        clean = x0[b, c, k, i, j] if free else r
        if path == "hold":
            states.append((1 - t) * clean + t * n)
            velocities.append(n - clean)
        elif path == "per_token":
            tau = strength * t
            states.append((1 - tau) * clean + tau * n)
            velocities.append(n - clean)
        else:
            start = (1 - strength) * r + strength * n
            states.append((1 - t) * clean + t * start)
            velocities.append(start - clean)
    return torch.stack(states).reshape(x0.shape), torch.stack(velocities).reshape(x0.shape), counts


def velocity_posterior(
    path: str, x_t: float, render: float, t: float, phi: float, error_std: float, guess: float | None = None
) -> tuple[float, float]:
    """Mean and deviation of the path's velocity given x_t, by conditioning the joint Gaussian of (error, noise) with
    x0 = guess + error; the guess is the render if there is none."""
    guess = render if guess is None else guess
    prior = torch.diag(torch.tensor([error_std**2, 1.0], dtype=torch.float64))
    if path == "bridge":  # x_t = (1 - t) x0 + t ((1 - phi) r + phi n), velocity (1 - phi) r + phi n - x0
        of_error, of_noise, known = 1 - t, t * phi, (1 - t) * guess + t * (1 - phi) * render
        readout, constant = torch.tensor([-1.0, phi], dtype=torch.float64), (1 - phi) * render - guess
    else:
        tau = t if path == "hold" else phi * t
        of_error, of_noise, known = 1 - tau, tau, (1 - tau) * guess
        readout, constant = torch.tensor([-1.0, 1.0], dtype=torch.float64), -guess
    observe = torch.tensor([[of_error, of_noise]], dtype=torch.float64)
    gain = prior @ observe.T / (observe @ prior @ observe.T)
    mean = gain.squeeze(1) * (x_t - known)
    covariance = prior - gain @ observe @ prior
    return float(readout @ mean) + constant, math.sqrt(max(float(readout @ covariance @ readout), 0.0))


def phi_scalar(sq_error: float, noise_over_error: float) -> float:
    r = 2.0 * math.sqrt(sq_error)
    return noise_over_error * r / (1 + noise_over_error * r)


def eig_block_loops(sq_error: Tensor, alpha: Tensor, noise_over_error: float, marked_rms: float) -> Tensor:
    """[68, T', H/8, W/8] by looping over latent cells and pixels."""
    frames, height, width = sq_error.shape
    chunks = chunk_of(frames - 1) + 1
    block = torch.zeros(68, chunks, height // 8, width // 8)
    for k, i, j in torch.cartesian_prod(*(torch.arange(n) for n in block.shape[1:])).tolist():
        members = [t for t in range(frames) if chunk_of(t) == k]
        cell = sq_error[members, 8 * i : 8 * i + 8, 8 * j : 8 * j + 8]
        level = torch.tensor([phi_scalar(v, noise_over_error) for v in cell.flatten().tolist()]).reshape(cell.shape)
        for y in range(8):
            for x in range(8):
                block[8 * y + x, k, i, j] = max(level[f, y, x] for f in range(len(members)))
        block[64, k, i, j] = level.mean()
        block[65, k, i, j] = level.max()
        block[66, k, i, j] = (cell.sqrt() > marked_rms).float().mean()
        block[67, k, i, j] = alpha[members, 8 * i : 8 * i + 8, 8 * j : 8 * j + 8].mean()
    return block
