"""The single-image fixer: one image in, one image out, one evaluation of a network.

The role is that of Difix3D+ (Wu et al. 2025): after the video model, single frames are polished with the help of
recorded views. This is what both kinds have in common: their inputs, and what training and storing ask of them. Kinds:
`pixels` (small, trained from random weights) and `sd_turbo` (on public weights); `build` makes them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from faithfusion.clips.windows import padded_side, reflected_indices
from faithfusion.types import ViewPoses, Window
from faithfusion.utils.errors import InputError
from faithfusion.video.model.conditioning import each_tensor
from faithfusion.video.model.fixers.fixer_config import FixerConfig

LOOK_AHEAD_M = 10.0
"""Two cameras are as near as the points that lie so far ahead of them: place and direction count."""


@dataclass(frozen=True)
class FixerInputs:
    """A batch of frames as the fixer reads them, colours in [0, 1]; any number of views and of references.

    The rows are clips of `num_frames` consecutive frames each; `poses` are the cameras of the pictures, without which
    frames do not see each other.
    """

    render: Float[Tensor, "b 3 h w"]
    views: Float[Tensor, "b n 3 h w"]
    trust: Float[Tensor, "b n h w"]  # in [0, 1]
    expected_sq_error: Float[Tensor, "b h w"]  # calibrated, of the render, colours in [0, 1]
    alpha: Float[Tensor, "b h w"]
    depth_m: Float[Tensor, "b h w"]  # 0 where nothing was rendered
    references: Float[Tensor, "b r 3 h w"]  # recorded views as they are, the best first
    num_frames: int = 1
    poses: ViewPoses | None = None


class Fixer(nn.Module, ABC):
    """The base of every kind of fixer, a module that turns `FixerInputs` into frames. `network` holds all that is ever
    trained; `public` tells the public weights below it from all others, by part (empty without)."""

    network: nn.Module
    public: dict[str, str]

    def __init__(self, config: FixerConfig) -> None:
        super().__init__()
        self.config, self.public = config, {}

    @abstractmethod
    def forward(self, inputs: FixerInputs) -> Float[Tensor, "b 3 h w"]:
        """The better frames, about in [0, 1] but not clamped."""

    def register_trained(self, owner: nn.Module) -> None:
        """Makes what is trained a submodule of `owner`, under the fixer's own parameter names; nothing else of the
        fixer wants gradients from now on."""
        owner.network = self.requires_grad_(True).network

    def stored_names(self) -> list[str]:
        """Names of the tensors that a weights file holds: all but the public ones."""
        return list(self.state_dict())

    def save_activation_memory(self) -> None:
        """Recomputes activations in the backward pass."""
        self.network.enable_gradient_checkpointing()


def own_views(inputs: FixerInputs, count: int) -> tuple[Float[Tensor, "b n 3 h w"], Float[Tensor, "b n h w"]]:
    """`count` warped views and their trust. Where one is not trusted, the render's colour: what lies there is never
    read."""
    views, trust = inputs.views[:, :count], inputs.trust[:, :count]
    missing = count - views.shape[1]
    if missing:
        trust = F.pad(trust, (0, 0, 0, 0, 0, missing))
        views = F.pad(views, (0, 0, 0, 0, 0, 0, 0, missing))
    return torch.where(trust[:, :, None] > 0.0, views, inputs.render[:, None]), trust


def padded_to(values: Float[Tensor, "... h w"], multiple: int) -> Float[Tensor, "... hp wp"]:
    """Sides brought to multiples of `multiple` by reflection, below and to the right."""
    height, width = values.shape[-2:]
    rows = reflected_indices(height, padded_side(height, multiple))
    columns = reflected_indices(width, padded_side(width, multiple))
    if len(rows) != height:
        values = values[..., rows.to(values.device), :]
    return values if len(columns) == width else values[..., columns.to(values.device)]


def fixer_inputs(window: Window, num_references: int = 0) -> FixerInputs:
    """All frames of a window as a batch, each with its nearest references, as many as wanted and there.

    Raises InputError if its parts differ in size.
    """
    size = tuple(window.render.shape[:3])
    parts = {"expected_sq_error": window.eig.expected_sq_error, "alpha": window.eig.alpha, "depth": window.depth}
    if window.warped is not None:
        parts["warped.trust"] = window.warped.trust
    for name, values in parts.items():
        if tuple(values.shape[-3:]) != size:
            raise InputError(f"window: {name} (frames, height, width)", tuple(values.shape), f"{size} as the render")
    render = rearrange(window.render.float(), "t h w c -> t c h w")
    if window.warped is None:
        views, trust = render[:, None][:, :0], render[:, :0]
    else:
        views = rearrange(window.warped.colors.float(), "n t h w c -> t n c h w")
        trust = rearrange(window.warped.trust.float(), "n t h w -> t n h w")
    volumes = (window.eig.expected_sq_error.float(), window.eig.alpha.float(), window.depth.float())
    references = _references(window, num_references)
    return FixerInputs(render, views, trust, *volumes, references, len(render), window.poses)


def fix_frames(fixer: Fixer, inputs: FixerInputs, frames: Int[Tensor, " n"], at_once: int) -> Float[Tensor, "n h w 3"]:
    """The fixed `frames` (ascending numbers) of one clip, colours clamped to [0, 1], where `inputs` lie.

    `at_once` of them are evaluated at a time on the fixer's device, with those around them that they see.
    """
    device, reach, total = next(fixer.parameters()).device, fixer.config.reach, len(inputs.render)
    fixed = [rearrange(inputs.render[:0], "t c h w -> t h w c")]
    for part in frames.split(at_once) if len(frames) else ():
        first = max(0, int(part[0]) - reach)
        seen = torch.arange(first, min(total, int(part[-1]) + reach + 1))
        rows = each_tensor(inputs, lambda values, seen=seen: values[seen].to(device))
        result = fixer(replace(rows, num_frames=len(seen))).clamp(0.0, 1.0)
        fixed.append(rearrange(result[(part - first).to(device)], "t c h w -> t h w c").to(fixed[0]))
    return torch.cat(fixed)


def nearest_per_frame(window: Window, count: int) -> Int[Tensor, "t r"]:
    """The numbers of the references whose cameras are nearest to each frame's, nearest first; without poses those of
    the first ones."""
    frames, there = len(window.render), len(window.references)
    poses, reference_poses = window.poses, window.reference_poses
    if poses is None or reference_poses is None:
        return torch.arange(there)[:count].expand(frames, -1)
    points = [
        (p.world_from_camera[:, :3, 3] + LOOK_AHEAD_M * p.world_from_camera[:, :3, 2]).double()
        for p in (poses, reference_poses)
    ]
    return torch.cdist(*points).argsort(dim=1, stable=True)[:, :count]


def _references(window: Window, count: int) -> Float[Tensor, "t r 3 h w"]:
    frames, *size = window.render.shape[:3]
    if not count:
        return torch.zeros(frames, 0, 3, *size)
    images = rearrange(window.references.float(), "r h w c -> r c h w")
    if len(images) and list(images.shape[-2:]) != size:
        images = F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
    return images[nearest_per_frame(window, count)]
