"""Where to look next: candidate poses by view-level information gain, each by itself or as a batch.

The gain of a view is the sum over Gaussians of 1/2 log det(I + H_view H^-1) plus that over sky texels of
3/2 log(1 + added precision / precision), in nats: what its pixels would tell about all blocks of the posterior. As a
function of a set of views it grows and is submodular, so greedy choice reaches at least 1 - 1/e of the best batch
(Krause and Golovin, "Submodular function maximization", 2014). A candidate's gain only falls as others are chosen, so
an old gain bounds today's, and only the top of the queue is evaluated again (Minoux, "Accelerated greedy algorithms",
1978).
"""

from __future__ import annotations

import dataclasses
import heapq
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.data.images import load_mount_mask
from faithfusion.data.trajectories import shifted_cameras
from faithfusion.eig.config import EigConfig
from faithfusion.eig.dense_blocks import dense_precision, guarded_cholesky
from faithfusion.eig.observe import view_information, whole_view
from faithfusion.eig.posterior import Posterior, prior_posterior, prior_precision
from faithfusion.types import Camera, DriveClip, GaussianScene
from faithfusion.utils.atomic import atomic_file
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import track

CHUNK_ENTRIES = 4_000_000  # of dense float64 blocks held at once: 32 MB, a few times over


@dataclass(frozen=True)
class Candidate:
    """A pose that could be recorded. Pixels outside `mask` (the ego vehicle) would tell nothing; without a mask all
    pixels tell something."""

    name: str  # of the camera
    camera: Camera
    time_index: int
    shift_m: float  # to the left of the recorded pose
    mask: Bool[Tensor, "h w"] | None = None


@dataclass(frozen=True)
class RankedView:
    """A candidate, its gain by itself and what it still adds after those ranked above it, in nats."""

    candidate: Candidate
    gain_nats: float
    marginal_nats: float


@dataclass(frozen=True)
class ViewInformation:
    """What one view adds to a posterior: the same layout, without the prior."""

    precision: Float[Tensor, "n w"]
    sky_precision: Float[Tensor, "hs ws"]


@dataclass(frozen=True)
class _Knowledge:
    """A posterior, the diagonal of its prior and 1/2 log det H_k of every Gaussian (float64)."""

    posterior: Posterior
    prior: Float[Tensor, "n d"]
    half_log_dets: Float[Tensor, " n"]


def rank_views(scene: GaussianScene, posterior: Posterior, candidates: Sequence[Candidate]) -> list[RankedView]:
    """All candidates, the most informative first, each judged by itself: `marginal_nats` repeats `gain_nats`.

    Equal gains keep the order of `candidates`. One candidate's information is held at a time; its pixels count as the
    posterior counted those of its views. Raises InputError without candidates and for a posterior of another scene.
    """
    _require_input(scene, posterior, candidates)
    known = _knowledge(posterior, prior_precision(scene.gaussians, posterior.config))
    gains = _gains_alone(scene, known, candidates)
    order = sorted(range(len(candidates)), key=lambda index: (-gains[index], index))
    return [RankedView(candidates[index], gains[index], gains[index]) for index in order]


def select_views(
    scene: GaussianScene, posterior: Posterior, candidates: Sequence[Candidate], count: int
) -> list[RankedView]:
    """The greedy batch of `count` views (all candidates if there are fewer), in the order of choice.

    Every choice is added to a copy of the posterior before the next, so a view that shows the same again drops. The
    marginal gains add up to the gain of the whole batch and never rise. The result is that of evaluating all
    candidates in every round (lazy greedy, Minoux 1978). Raises InputError as `rank_views`, and for count < 1.
    """
    if count < 1:
        raise InputError("number of views", count, "at least 1")
    _require_input(scene, posterior, candidates)
    known = _knowledge(posterior, prior_precision(scene.gaussians, posterior.config))
    alone = _gains_alone(scene, known, candidates)
    # (-gain, candidate, number of choices the gain takes into account): the top is the largest bound
    queue = [(-gain, index, 0) for index, gain in enumerate(alone)]
    heapq.heapify(queue)
    ranking: list[RankedView] = []
    for chosen in track(range(min(count, len(candidates))), "view selection"):
        if ranking:
            known = _learn(known, _view_gives(scene, ranking[-1].candidate, posterior.config))
        while queue[0][2] < chosen:
            index = queue[0][1]
            gain = _gain_nats(known, _view_gives(scene, candidates[index], posterior.config))
            heapq.heapreplace(queue, (-gain, index, chosen))
        marginal, index, _ = heapq.heappop(queue)
        ranking.append(RankedView(candidates[index], alone[index], -marginal))
    return ranking


def _view_gives(scene: GaussianScene, candidate: Candidate, config: EigConfig) -> ViewInformation:
    """What every Gaussian and every sky texel would gain, counted as the posterior counts pixels."""
    view = whole_view(candidate.camera, candidate.time_index)
    if candidate.mask is not None:
        view = dataclasses.replace(view, mask=candidate.mask)
    told = view_information(scene, view, config)
    share = 1.0 / config.pixels_per_observation
    return ViewInformation(share * told.precision, share * told.sky_precision)


def _gains_alone(scene: GaussianScene, known: _Knowledge, candidates: Sequence[Candidate]) -> list[float]:
    gains, config = [], known.posterior.config
    for candidate in track(candidates, "view gains"):
        gains.append(_gain_nats(known, _view_gives(scene, candidate, config)))
    return gains


def _require_input(scene: GaussianScene, posterior: Posterior, candidates: Sequence[Candidate]) -> None:
    if not candidates:
        raise InputError("view ranking", "no candidates", "at least one pose")
    kind, found = posterior.config.posterior, tuple(posterior.precision.shape)
    expected = tuple(prior_posterior(scene, posterior.config).precision.shape)
    if found != expected:
        raise InputError("posterior", f"shape {found}", f"{expected}, a {kind!r} posterior of this scene")


def _knowledge(posterior: Posterior, prior: Float[Tensor, "n d"]) -> _Knowledge:
    return _Knowledge(posterior, prior, half_log_dets(posterior.precision, prior))


def _learn(known: _Knowledge, information: ViewInformation) -> _Knowledge:
    """What is known after one more view, in tensors of its own."""
    before = known.posterior
    precision, sky = before.precision + information.precision, before.sky_precision + information.sky_precision
    return _knowledge(dataclasses.replace(before, precision=precision, sky_precision=sky), known.prior)


def _gain_nats(known: _Knowledge, information: ViewInformation) -> float:
    """Gain of the Gaussians the view sees and of the sky's three channels, summed in float64."""
    before = known.posterior
    gain = 1.5 * (information.sky_precision.double() / before.sky_precision.double()).log1p().sum()
    seen = torch.nonzero(information.precision.abs().amax(1)).flatten()
    for ids in seen.split(_chunk_rows(known.prior)):
        after = before.precision[ids].double() + information.precision[ids].double()
        gain += (half_log_dets(after, known.prior[ids]) - known.half_log_dets[ids]).clamp_min(0.0).sum()
    return float(gain)


def half_log_dets(precision: Float[Tensor, "m w"], prior: Float[Tensor, "m d"]) -> Float[Tensor, " m"]:
    """1/2 log det H_k of upper triangles or diagonals, float64; mended where float32 broke H_k (`guarded_cholesky`)."""
    parts = []
    for rows, least in zip(precision.split(_chunk_rows(prior)), prior.split(_chunk_rows(prior)), strict=True):
        rows, least = rows.double(), least.double()
        if rows.shape[1] == least.shape[1]:
            parts.append(0.5 * torch.maximum(rows, least).log().sum(1))
        else:
            factor = guarded_cholesky(dense_precision(rows), least)
            parts.append(factor.diagonal(dim1=1, dim2=2).log().sum(1))
    return torch.cat(parts)


def _chunk_rows(prior: Float[Tensor, "n d"]) -> int:
    """How many Gaussians' dense blocks are held at once."""
    return max(1, CHUNK_ENTRIES // prior.shape[1] ** 2)


def clip_candidates(
    clip: DriveClip, camera_names: Sequence[str], shifts_m: Sequence[float], every: int
) -> list[Candidate]:
    """The drive's cameras at every `every`-th time stamp from the first on, moved `shifts_m` metres to the left.

    Pixels of the ego vehicle, which moves along, are masked. Raises InputError for an unknown camera, for a shift out
    of range, for `every` < 1 and if no candidate is left.
    """
    if every < 1:
        raise InputError("rank_every", every, "at least 1 time stamp")
    if not (camera_names and shifts_m):
        found = f"{len(camera_names)} cameras, {len(shifts_m)} shifts: no candidates"
        raise InputError("rank_shifts_m", found, "at least one of each")
    candidates = []
    for name in camera_names:
        moved = {shift_m: shifted_cameras(clip, name, shift_m) for shift_m in shifts_m}
        blind = load_mount_mask(clip.frame(0, name))
        mask = None if blind is None else ~blind
        for shift_m, cameras in moved.items():
            times = range(0, clip.num_frames, every)
            candidates += [Candidate(name, cameras[t], t, shift_m, mask) for t in times]
    return candidates


def ranking_rows(ranking: Sequence[RankedView]) -> list[dict[str, Any]]:
    """The ranking as JSON data: the rank from 1, the candidate, its gains in nats and its 4x4 pose in the clip's world
    in metres."""
    return [
        {
            "rank": rank,
            "camera": view.candidate.name,
            "time_index": view.candidate.time_index,
            "shift_m": view.candidate.shift_m,
            "gain_nats": view.gain_nats,
            "marginal_nats": view.marginal_nats,
            "world_from_camera": view.candidate.camera.world_from_camera.tolist(),
        }
        for rank, view in enumerate(ranking, 1)
    ]


def ranking_table(ranking: Sequence[RankedView]) -> str:
    """The ranking as text with aligned columns and a heading."""
    lines = [("rank", "camera", "time stamp", "shift in m", "nats alone", "nats after those above")]
    for row in ranking_rows(ranking):
        cells = (f"{row['rank']}", row["camera"], f"{row['time_index']}", f"{row['shift_m']:g}")
        lines.append((*cells, f"{row['gain_nats']:.2f}", f"{row['marginal_nats']:.2f}"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in lines)


def save_ranking(path: Path, ranking: Sequence[RankedView]) -> None:
    """Writes `ranking_rows` as JSON, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(ranking_rows(ranking), indent=1))
