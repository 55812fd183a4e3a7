"""Three ways in which EIG sets the noise of every token, as pure functions shared by training and sampling.

phi in [0, 1] is a token's strength (0 = certain), t in [0, 1] the flow time of the clip, r the render's latent, n
noise.

hold       one time for all. A token stays at the re-noised render (1 - t) r + t n until t <= phi, then follows Wan's
           flow (1 - t) x0 + t n. Needs no training (Differential Diffusion, Levin and Fried 2023, per token in space
           and time).
bridge     from the render, as noisy as EIG says, to the truth: z1 = (1 - phi) r + phi n, x_t = (1 - t) x0 + t z1,
           velocity z1 - x0. The network is told each token's noise level phi t. Where r = x0 this is Wan's own flow.
per_token  Wan's flow with a time per token: tau = phi t, x_t = (1 - tau) x0 + tau n, velocity n - x0 (along tau).

Under bridge and per_token phi is rounded to LEVELS values, so a clip has few different times, and tokens at 0 are the
render's own for good.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from faithfusion.video.model.config import PathName, ScheduleConfig
from faithfusion.video.model.time_schedule import flow_state, per_sample, sampling_times, token_to_latent

LEVELS = 32
MAX_ERROR_STD = 2.0**0.5  # two unrelated unit-variance latents differ by this


@dataclass(frozen=True)
class PathState:
    """A point of the path. `counts`: cells that move along it; the others are the render, re-noised under hold."""

    x_t: Float[Tensor, "b c t h w"]
    target: Float[Tensor, "b c t h w"]  # velocity
    counts: Bool[Tensor, "b 1 t h w"]


def phi_index(phi: Float[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """The nearest of the levels 0, 1 / (LEVELS - 1), ..., 1."""
    return (phi * (LEVELS - 1)).round().long()


def rounded_phi(phi: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """phi rounded to its level."""
    return phi_index(phi).to(phi.dtype) / (LEVELS - 1)


def time_levels(time: Float[Tensor, " b"]) -> Float[Tensor, "b n"]:
    """The network's time phi t of every level of phi."""
    return time[:, None] * torch.linspace(0.0, 1.0, LEVELS, device=time.device)


def path_phi(
    path: PathName, phi: Float[Tensor, "b t th tw"], latents: Float[Tensor, "b c t h w"]
) -> Float[Tensor, "b 1 t h w"]:
    """The strength of every cell of `latents`, as the path uses it."""
    return token_to_latent(phi if path == "hold" else rounded_phi(phi), latents)


def path_state(
    path: PathName,
    x0: Float[Tensor, "b c t h w"],
    render: Float[Tensor, "b c t h w"],
    noise: Float[Tensor, "b c t h w"],
    time: Float[Tensor, " b"],
    phi: Float[Tensor, "b t th tw"],
) -> PathState:
    """The state at `time` on the way from noise and render to `x0`. Cells with phi = 0 (under hold: phi < t) have the
    render in place of x0."""
    cells, t = path_phi(path, phi, x0), per_sample(time, x0)
    counts = cells >= t if path == "hold" else cells > 0.0
    origin = torch.where(counts, x0, render)
    if path == "hold":
        return PathState(flow_state(origin, noise, time), noise - origin, counts)
    if path == "per_token":
        return PathState((1.0 - cells * t) * origin + cells * t * noise, noise - origin, counts)
    end = (1.0 - cells) * render + cells * noise
    return PathState((1.0 - t) * origin + t * end, end - origin, counts)


def path_times(path: PathName, steps: int, config: ScheduleConfig, max_phi: float) -> list[float]:
    """Descending times at which the network is asked, and 0; empty if `max_phi` is 0.

    All steps are spread over the noise levels of Wan's own schedule that the most uncertain token passes through, those
    from its phi down. Under bridge and per_token t is relative to phi.
    """
    times = sampling_times(steps, config, max_phi)
    return times if path == "hold" else [time / max_phi for time in times]


def predict_x0(
    path: PathName,
    x_t: Float[Tensor, "b c t h w"],
    velocity: Float[Tensor, "b c t h w"],
    time: Float[Tensor, " b"],
    phi: Float[Tensor, "b t th tw"],
) -> Float[Tensor, "b c t h w"]:
    """Clean latents implied by a velocity."""
    return advance(path, x_t, velocity, time, torch.zeros_like(time), phi)


def advance(
    path: PathName,
    x_t: Float[Tensor, "b c t h w"],
    velocity: Float[Tensor, "b c t h w"],
    time: Float[Tensor, " b"],
    next_time: Float[Tensor, " b"],
    phi: Float[Tensor, "b t th tw"],
) -> Float[Tensor, "b c t h w"]:
    """Takes one Euler step of every cell to `next_time`."""
    step = per_sample(next_time - time, x_t)
    return x_t + step * velocity * (path_phi(path, phi, x_t) if path == "per_token" else 1.0)


def held(
    path: PathName,
    moved: Float[Tensor, "b c t h w"],
    render: Float[Tensor, "b c t h w"],
    noise: Float[Tensor, "b c t h w"],
    times: tuple[Float[Tensor, " b"], Float[Tensor, " b"]],
    phi: Float[Tensor, "b t th tw"],
) -> Float[Tensor, "b c t h w"]:
    """`moved` where cells move between these two times. Elsewhere the render; under hold, with noise for the later time
    in cells that are not yet released."""
    cells, (now, then) = path_phi(path, phi, moved), times
    if path == "hold":
        return torch.where(cells >= per_sample(now, moved), moved, flow_state(render, noise, then))
    return torch.where(cells > 0.0, moved, render)


def render_prior(
    path: PathName,
    x_t: Float[Tensor, "b c t h w"],
    render: Float[Tensor, "b c t h w"],
    time: Float[Tensor, " b"],
    phi: Float[Tensor, "b t th tw"],
    error_std: Float[Tensor, "b 1 t h w"],
    guess: Float[Tensor, "b c t h w"] | None = None,
) -> tuple[Float[Tensor, "b c t h w"], Float[Tensor, "b 1 t h w"]]:
    """Mean and standard deviation of the velocity given x_t when x0 ~ N(m, s^2) and noise ~ N(0, 1).

    EDM's preconditioning (Karras et al. 2022) with the guess m as prior mean, the render r if there is none, and the
    render's calibrated error as prior deviation s. With e = x0 - m, y = x_t minus its mean = (1 - a) e + b n,
    D = (1 - a)^2 s^2 + b^2:
        hold, per_token (a = b = the token's time):  velocity = n - e - m,                     scale s / sqrt(D)
        bridge (a = t, b = phi t):                   velocity = phi n - e + (1 - phi) r - m,   scale phi s / sqrt(D)
    Where phi = 0 the guess is the render, and where s = 0 the velocity leads exactly there, whatever a network adds.
    """
    cells, t = path_phi(path, phi, x_t), per_sample(time, x_t)
    strength = cells if path == "bridge" else torch.ones_like(cells)
    a = t if path != "per_token" else cells * t
    b = (strength * a).clamp_min(1e-3)
    variance = error_std.to(x_t).clamp(0.0, MAX_ERROR_STD).square()
    denominator = (1.0 - a).square() * variance + b.square()
    guess = render if guess is None else torch.where(cells > 0.0, guess, render)
    known = (1.0 - strength) * render  # what the path ends at, without its noise
    evidence = x_t - a * known - (1.0 - a) * guess
    mean = (strength * b - (1.0 - a) * variance) / denominator * evidence + known - guess
    return mean, strength * (variance / denominator).sqrt()


def network_scale(
    path: PathName, phi: Float[Tensor, "b t th tw"], latents: Float[Tensor, "b c t h w"]
) -> Float[Tensor, "b 1 t h w"]:
    """Velocity of the path per unit of Wan's own velocity, for networks without the render prior.

    Under bridge x0 = x_t - t v and Wan says x0 = x_t - phi t u, hence v = phi u.
    """
    cells = path_phi(path, phi, latents)
    return cells if path == "bridge" else torch.ones_like(cells)
