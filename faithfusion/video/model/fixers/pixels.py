"""The small fixer: one evaluation of a U-Net in pixels, trained from random weights.

The views come already warped (`types.WarpedViews`), and the network first says how far each of them, or the render, is
to be copied:

    result = sum_i softmax(logits + log trust)_i source_i + residual ,   sources: render (trust 1), warped views

so that sharp texture need not pass through the network, and no latent codec is in the way. A view without trust has no
weight. At step 0 the residual is 0 and the render's weight at least START_WEIGHT.

With `slide_px` a view is not copied from the place where the depth puts it but from a little beside, as the network
says for every pixel. With `reach` it is a video network: frames of a clip see each other (`neighbours`).
"""

from __future__ import annotations

import torch
from diffusers import UNet2DModel
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from faithfusion.video.model.conditioning import noise_level
from faithfusion.video.model.fixers.fixer import Fixer, FixerInputs, own_views, padded_to
from faithfusion.video.model.fixers.fixer_config import HEAD_DIM, FixerConfig
from faithfusion.video.model.fixers.neighbours import LEVELS, aligned, neighbour_attentions, run_unet
from faithfusion.video.model.mixture import mixture, start_logit

COLORS = 3
NUM_MAPS = 3
"""phi, alpha and nearness."""
AXES = 2


class PixelFixer(Fixer):
    """The network and the mixture of its sources. `num_gates`: further maps that a subclass wants of the network, which
    start at 0."""

    def __init__(self, config: FixerConfig, num_gates: int = 0) -> None:
        super().__init__(config)
        cell = config.unshuffle**2
        self._counts = (1 + config.num_views, COLORS, AXES * config.num_views if config.slide_px else 0, num_gates)
        self.network = UNet2DModel(
            in_channels=cell * (COLORS + (COLORS + 1) * config.num_views + NUM_MAPS),
            out_channels=cell * sum(self._counts),
            block_out_channels=config.channels,
            layers_per_block=config.layers_per_level,
            down_block_types=_levels(config, "DownBlock2D"),
            up_block_types=_levels(config, "UpBlock2D")[::-1],
            add_attention=config.attention,
            attention_head_dim=HEAD_DIM,
            norm_num_groups=8,
        )
        if config.reach:
            self.network.add_module("neighbours", neighbour_attentions(config.channels, config.reach))
        self._start_at_the_render()

    @property
    def side_multiple(self) -> int:
        """Pixels; the sides of the image are padded to multiples of it."""
        return self.config.unshuffle * 2 ** (len(self.config.channels) - 1)

    def forward(self, inputs: FixerInputs) -> Float[Tensor, "b 3 h w"]:
        """The better frames, about in [0, 1] but not clamped; any size. References are not read."""
        mixed, residual, _ = self.parts(inputs)
        return mixed + residual

    def parts(
        self, inputs: FixerInputs
    ) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b 3 h w"], Float[Tensor, "b g h w"]]:
        """The mixture of the sources, the residual and the gates."""
        height, width = inputs.render.shape[-2:]
        views, trust = own_views(inputs, self.config.num_views)
        features = padded_to(self._features(inputs, views, trust), self.side_multiple)
        cells = F.pixel_unshuffle(features, self.config.unshuffle)
        output = F.pixel_shuffle(self._run(cells, inputs), self.config.unshuffle)[..., :height, :width]
        logits, residual, slides, gates = output.split(self._counts, dim=1)
        if self.config.slide_px:
            slides = rearrange(slides, "b (n d) h w -> b n d h w", d=AXES)
            views = slid(views, self.config.slide_px * torch.tanh(slides))
        # the residual is in the network's units, colours in [-1, 1]
        return mixture(inputs.render, views, trust, logits), 0.5 * residual, gates

    def _run(self, cells: Float[Tensor, "b c h w"], inputs: FixerInputs) -> Float[Tensor, "b c2 h w"]:
        if not self.config.reach or inputs.poses is None or inputs.num_frames == 1:
            return self.network(cells, 0).sample.float()
        depth_m, reach = padded_to(inputs.depth_m, self.side_multiple), self.config.reach
        offsets = tuple(step for step in range(-reach, reach + 1) if step)
        alignments = {
            level: aligned(depth_m, inputs.poses, inputs.num_frames, offsets, self.config.unshuffle * 2**level)
            for level in LEVELS
        }
        return run_unet(self.network, cells, alignments).float()

    def _features(self, inputs: FixerInputs, views: Tensor, trust: Tensor) -> Float[Tensor, "b c h w"]:
        phi = noise_level(inputs.expected_sq_error, self.config.conditioning)
        nearness = torch.where(inputs.depth_m > 0.0, self.config.near_depth_m / inputs.depth_m.clamp_min(0.01), 0.0)
        maps = torch.stack([phi, inputs.alpha, nearness.clamp_max(1.0)], dim=1)
        colors = torch.cat([inputs.render, rearrange(views, "b n c h w -> b (n c) h w")], dim=1)
        return torch.cat([2.0 * colors - 1.0, trust, maps], dim=1)

    @torch.no_grad()
    def _start_at_the_render(self) -> None:
        views, last, cell = self.config.num_views, self.network.conv_out, self.config.unshuffle**2
        bias = torch.zeros(last.out_channels // cell)
        if views:
            bias[0] = start_logit(views)
        nn.init.zeros_(last.weight)
        last.bias.copy_(repeat(bias, "c -> (c cell)", cell=cell))


def slid(views: Float[Tensor, "b n 3 h w"], offsets_px: Float[Tensor, "b n 2 h w"]) -> Float[Tensor, "b n 3 h w"]:
    """Views whose pixel (x, y) shows what they had at (x, y) + offset, bilinear; the border repeats outside."""
    height, width = views.shape[-2:]
    x, y = (torch.arange(side, device=views.device) for side in (width, height))
    place = torch.stack([x.expand(height, width), y[:, None].expand(height, width)]) + offsets_px.flatten(0, 1)
    size = torch.tensor([width, height], device=views.device)
    grid = (2.0 * rearrange(place, "b d h w -> b h w d") + 1.0) / size - 1.0
    found = F.grid_sample(views.flatten(0, 1), grid.to(views), padding_mode="border", align_corners=False)
    return found.unflatten(0, views.shape[:2])


def _levels(config: FixerConfig, kind: str) -> tuple[str, ...]:
    """The library's names of the levels, finest first."""
    return (*(kind for _ in config.channels[1:]), f"Attn{kind}" if config.attention else kind)
