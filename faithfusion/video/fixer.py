"""The single-image fixer: one image in, one image out, one evaluation of a small U-Net in pixels.

The role is that of Difix3D+ (Wu et al. 2025): after the video model, single frames are polished with the help of
recorded views. Here the views come already warped (`types.WarpedViews`), and the network first says how far each of
them, or the render, is to be copied:

    result = sum_i softmax(logits + log trust)_i source_i + residual ,   sources: render (trust 1), warped views

so that sharp texture need not pass through the network, and no latent codec is in the way. A view without trust has no
weight. At step 0 the residual is 0 and the render's weight at least START_WEIGHT.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from diffusers import UNet2DModel
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from faithfusion.clips.windows import padded_side, reflected_indices
from faithfusion.types import Window
from faithfusion.utils.errors import InputError
from faithfusion.video.conditioning import ConditioningConfig, noise_level

START_WEIGHT = 0.9
COLORS = 3


@dataclass(frozen=True)
class FixerConfig:
    """Everything that fixes the fixer's architecture and what its inputs mean; stored with the weights.

    A field that a stored configuration lacks, because it is younger, has its default: defaults mean "as before".

    Attributes:
        num_views: warped views it reads; missing ones count as untrusted, more are left out.
        unshuffle: pixels along each side of a cell of the U-Net's finest level.
        channels: width of each level of the U-Net, multiples of 8, each half as fine as the one before.
        layers_per_level: residual blocks on the way down; one more on the way up.
        attention: self-attention at the coarsest level.
        near_depth_m: depth that is given to the network as 1; nearer is cut off, infinity is 0.
        conditioning: expected error to phi.
    """

    num_views: int = 2
    unshuffle: int = 2
    channels: tuple[int, ...] = (32, 48, 72, 96)
    layers_per_level: int = 1
    attention: bool = True
    near_depth_m: float = 4.0
    conditioning: ConditioningConfig = field(default_factory=ConditioningConfig)

    def __post_init__(self) -> None:
        if self.num_views < 0 or self.unshuffle < 1 or self.layers_per_level < 1 or self.near_depth_m <= 0:
            raise InputError("fixer", self, "num_views of at least 0, everything else positive")
        if not self.channels or any(width < 8 or width % 8 for width in self.channels):
            raise InputError("fixer.channels", self.channels, "positive multiples of 8, one per level")

    @property
    def side_multiple(self) -> int:
        """What the sides of the image are padded to, in pixels."""
        return self.unshuffle * 2 ** (len(self.channels) - 1)


@dataclass(frozen=True)
class FixerInputs:
    """A batch of frames as the fixer reads them, colours in [0, 1]; any number of views."""

    render: Float[Tensor, "b 3 h w"]
    views: Float[Tensor, "b n 3 h w"]
    trust: Float[Tensor, "b n h w"]  # in [0, 1]
    expected_sq_error: Float[Tensor, "b h w"]  # calibrated, of the render, colours in [0, 1]
    alpha: Float[Tensor, "b h w"]
    depth_m: Float[Tensor, "b h w"]  # 0 where nothing was rendered


class Fixer(nn.Module):
    """The network and the mixture of its sources."""

    def __init__(self, config: FixerConfig) -> None:
        super().__init__()
        self.config = config
        cell = config.unshuffle**2
        self.network = UNet2DModel(
            in_channels=cell * (COLORS + (COLORS + 1) * config.num_views + 3),
            out_channels=cell * (1 + config.num_views + COLORS),
            block_out_channels=config.channels,
            layers_per_block=config.layers_per_level,
            down_block_types=_levels(config, "DownBlock2D"),
            up_block_types=_levels(config, "UpBlock2D")[::-1],
            add_attention=config.attention,
            attention_head_dim=16,
            norm_num_groups=8,
        )
        self._start_at_the_render()

    def forward(self, inputs: FixerInputs) -> Float[Tensor, "b 3 h w"]:
        """The better frames, about in [0, 1] but not clamped; any size."""
        height, width = inputs.render.shape[-2:]
        views, trust = self._own_views(inputs)
        cells = F.pixel_unshuffle(_padded(self._features(inputs, views, trust), self.config), self.config.unshuffle)
        output = F.pixel_shuffle(self.network(cells, 0).sample.float(), self.config.unshuffle)[..., :height, :width]
        logits, residual = output.split([1 + self.config.num_views, COLORS], dim=1)
        # the residual is in the network's units, colours in [-1, 1]
        return mixture(inputs.render, views, trust, logits) + 0.5 * residual

    def _own_views(self, inputs: FixerInputs) -> tuple[Float[Tensor, "b n 3 h w"], Float[Tensor, "b n h w"]]:
        """As many views as configured; where one is not trusted, the render's colour: what lies there is never read."""
        count = self.config.num_views
        views, trust = inputs.views[:, :count], inputs.trust[:, :count]
        missing = count - views.shape[1]
        if missing:
            trust = F.pad(trust, (0, 0, 0, 0, 0, missing))
            views = F.pad(views, (0, 0, 0, 0, 0, 0, 0, missing))
        return torch.where(trust[:, :, None] > 0.0, views, inputs.render[:, None]), trust

    def _features(self, inputs: FixerInputs, views: Tensor, trust: Tensor) -> Float[Tensor, "b c h w"]:
        phi = noise_level(inputs.expected_sq_error, self.config.conditioning)
        nearness = torch.where(inputs.depth_m > 0.0, self.config.near_depth_m / inputs.depth_m.clamp_min(0.01), 0.0)
        maps = torch.stack([phi, inputs.alpha, nearness.clamp_max(1.0)], dim=1)
        colors = torch.cat([inputs.render, rearrange(views, "b n c h w -> b (n c) h w")], dim=1)
        return torch.cat([2.0 * colors - 1.0, trust, maps], dim=1)

    @torch.no_grad()
    def _start_at_the_render(self) -> None:
        views, last = self.config.num_views, self.network.conv_out
        bias = torch.zeros(1 + views + COLORS)
        if views:
            bias[0] = math.log(views * START_WEIGHT / (1.0 - START_WEIGHT))
        nn.init.zeros_(last.weight)
        last.bias.copy_(repeat(bias, "c -> (c cell)", cell=self.config.unshuffle**2))


def mixture(
    render: Float[Tensor, "b 3 h w"],
    views: Float[Tensor, "b n 3 h w"],
    trust: Float[Tensor, "b n h w"],
    logits: Float[Tensor, "b m h w"],
) -> Float[Tensor, "b 3 h w"]:
    """sum_i softmax(logits + log trust)_i source_i over m = 1 + n sources: the render (trust 1) and the views."""
    prior = torch.cat([torch.zeros_like(logits[:, :1]), trust.log()], dim=1)
    weights = (logits + prior).softmax(dim=1)
    sources = torch.cat([render[:, None], views], dim=1)
    return (weights[:, :, None] * sources).sum(1)


def fixer_inputs(window: Window) -> FixerInputs:
    """All frames of a window as a batch. Raises InputError if its parts differ in size."""
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
    return FixerInputs(render, views, trust, *volumes)


def build_fixer(config: FixerConfig, generator: torch.Generator) -> Fixer:
    """A fixer with random weights; the same `generator` state gives the same."""
    seed = int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):  # the library modules draw from the global stream
        torch.manual_seed(seed)
        return Fixer(config)


def _levels(config: FixerConfig, kind: str) -> tuple[str, ...]:
    """The library's names of the levels, finest first."""
    return (*(kind for _ in config.channels[1:]), f"Attn{kind}" if config.attention else kind)


def _padded(values: Float[Tensor, "b c h w"], config: FixerConfig) -> Float[Tensor, "b c hp wp"]:
    height, width = values.shape[-2:]
    rows = reflected_indices(height, padded_side(height, config.side_multiple))
    columns = reflected_indices(width, padded_side(width, config.side_multiple))
    if len(rows) != height:
        values = values[:, :, rows.to(values.device)]
    return values if len(columns) == width else values[..., columns.to(values.device)]
