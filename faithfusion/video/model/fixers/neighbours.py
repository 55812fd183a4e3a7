"""What turns the small fixer into a video network: attention over the same surface in neighbouring frames.

At two coarse levels of the U-Net every place asks the frames before and after it: by the rendered depth it is known
where they show the same surface, their features are read there, and attention over these few sources (and the place
itself) says what to take. The projections back are zero at step 0, so a fixer of single frames becomes one of clips
without a change of its result. The idea to gather along known motion before attending is that of warped feature
propagation in video restoration (Chan et al. 2022, "BasicVSR++"); here the motion comes from the scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import UNet2DModel
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from faithfusion.render.reproject import DEPTH_TOLERANCE, FAR_M
from faithfusion.types import ViewPoses
from faithfusion.utils.errors import InputError

LEVELS = (1, 2)
"""Of the U-Net, counted from the finest, at which frames see each other."""
HEAD_DIM = 8
NORM_GROUPS = 8


@dataclass(frozen=True)
class Alignment:
    """Where neighbouring frames show the surfaces of a batch of frames, at one resolution: per frame n neighbours."""

    frame: Int[Tensor, "b n"]  # the neighbour's row in the batch
    grid: Float[Tensor, "b n h w 2"]  # places in its picture as `grid_sample` wants them
    is_shown: Bool[Tensor, "b n h w"]  # the neighbour is in the clip and shows the surface there

    def gather(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n c h w"]:
        """What the neighbours hold at those places; 0 outside their pictures."""
        count = self.frame.shape[1]
        rows = values[self.frame.flatten()]
        found = F.grid_sample(rows, self.grid.flatten(0, 1).to(values.dtype), align_corners=False)
        return found.unflatten(0, (-1, count))


def aligned(
    depth_m: Float[Tensor, "b h w"], poses: ViewPoses, num_frames: int, offsets: tuple[int, ...], cell: int
) -> Alignment:
    """Where the frames at `offsets` show what each frame shows, for cells of `cell` pixels a side.

    The batch holds clips of `num_frames` consecutive frames each, with the cameras of the pictures as they are in the
    batch. Depth is camera z in metres at pixels, 0 for the sky. What moves is looked up as if it stood still: attention
    sees from the features that it is not there.
    """
    depth_m = torch.where(depth_m > 0.0, depth_m, FAR_M)[:, cell // 2 :: cell, cell // 2 :: cell]
    (batch, height, width), at = depth_m.shape, {"device": depth_m.device}
    place = torch.arange(batch, **at) % num_frames
    steps = torch.tensor(offsets, **at)
    is_there = (place[:, None] + steps >= 0) & (place[:, None] + steps < num_frames)
    other = torch.where(is_there, torch.arange(batch, **at)[:, None] + steps, torch.arange(batch, **at)[:, None])
    rows, columns = ((torch.arange(side, **at) + 0.5) * cell for side in (height, width))
    v, u = torch.meshgrid(rows, columns, indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)], dim=-1)
    to_world = poses.world_from_camera[:, :3, :3] @ torch.linalg.inv(poses.intrinsics)
    rays = torch.einsum("bij,hwj->bhwi", to_world, pixels)
    points = depth_m[..., None] * rays + poses.world_from_camera[:, None, None, :3, 3]
    turn, centre = poses.world_from_camera[other][..., :3, :3], poses.world_from_camera[other][..., :3, 3]
    from_world = poses.intrinsics[other] @ turn.transpose(-1, -2)
    seen = torch.einsum("bnij,bnhwj->bnhwi", from_world, points[:, None] - centre[:, :, None, None])
    z_m = seen[..., 2]
    size = torch.tensor([width * cell, height * cell], **at)
    grid = seen[..., :2] / z_m[..., None].clamp_min(1e-3) / size * 2.0 - 1.0
    there = F.grid_sample(
        depth_m[other.flatten()][:, None],
        grid.flatten(0, 1),
        mode="nearest",
        padding_mode="border",
        align_corners=False,
    )
    same = (there[:, 0].unflatten(0, (batch, -1)) - z_m).abs() < DEPTH_TOLERANCE * z_m
    is_inside = (grid.abs() <= 1.0).all(-1) & (z_m > 1e-3)
    return Alignment(other, grid, is_inside & same & is_there[..., None, None])


class NeighbourAttention(nn.Module):
    """Adds to every place what it takes from the same surface in neighbouring frames; 0 before training."""

    def __init__(self, channels: int, num_neighbours: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(NORM_GROUPS, channels)
        self.to_query, self.to_key, self.to_value = (nn.Conv2d(channels, channels, 1, bias=False) for _ in range(3))
        self.source_bias = nn.Parameter(torch.zeros(1 + num_neighbours, channels // HEAD_DIM))
        self.to_out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.to_out.weight)
        nn.init.zeros_(self.to_out.bias)

    def forward(self, features: Float[Tensor, "b c h w"], alignment: Alignment) -> Float[Tensor, "b c h w"]:
        """The features with what the neighbours add."""
        normed = self.norm(features)
        query = rearrange(self.to_query(normed), "b (g d) h w -> b 1 g d h w", d=HEAD_DIM)
        key, value = (self._sources(project(normed), alignment) for project in (self.to_key, self.to_value))
        logits = (query * key).sum(3) * HEAD_DIM**-0.5 + self.source_bias[..., None, None]
        hidden = ~torch.cat([torch.ones_like(alignment.is_shown[:, :1]), alignment.is_shown], dim=1)
        weights = logits.masked_fill(hidden[:, :, None], -torch.inf).softmax(dim=1)
        taken = rearrange((weights[:, :, :, None] * value).sum(1), "b g d h w -> b (g d) h w")
        return features + self.to_out(taken)

    @staticmethod
    def _sources(values: Float[Tensor, "b c h w"], alignment: Alignment) -> Float[Tensor, "b s g d h w"]:
        sources = torch.cat([values[:, None], alignment.gather(values)], dim=1)
        return rearrange(sources, "b s (g d) h w -> b s g d h w", d=HEAD_DIM)


def neighbour_attentions(channels: tuple[int, ...], reach: int) -> nn.ModuleDict:
    """The modules of a U-Net of these widths, finest first, on its way down and up.  Raises InputError for a U-Net
    without the levels."""
    if len(channels) < max(LEVELS) + 2:
        raise InputError("fixer.channels", channels, f"at least {max(LEVELS) + 2} levels where frames see each other")
    ways = {f"down_{level}": channels[level - 1] for level in LEVELS}
    ways |= {f"up_{level}": channels[level + 1] for level in LEVELS}
    return nn.ModuleDict({name: NeighbourAttention(width, 2 * reach) for name, width in ways.items()})


def run_unet(
    network: UNet2DModel, cells: Float[Tensor, "b c h w"], alignments: dict[int, Alignment]
) -> Float[Tensor, "b out h w"]:
    """The U-Net's own forward pass at time 0, with the attention of its module `neighbours` where a level begins, on
    the way down and up."""
    attentions = network.neighbours
    time = network.time_proj(torch.zeros(len(cells), dtype=torch.long, device=cells.device)).to(cells.dtype)
    embedding = network.time_embedding(time)
    sample = network.conv_in(cells)
    kept = [sample]
    for level, block in enumerate(network.down_blocks):
        if level in alignments:
            sample = attentions[f"down_{level}"](sample, alignments[level])
        sample, residuals = block(hidden_states=sample, temb=embedding)
        kept += residuals
    sample = network.mid_block(sample, embedding)
    for number, block in enumerate(network.up_blocks):
        level = len(network.up_blocks) - 1 - number
        if level in alignments:
            sample = attentions[f"up_{level}"](sample, alignments[level])
        taken = tuple(kept[-len(block.resnets) :])
        del kept[-len(block.resnets) :]
        sample = block(sample, taken, embedding)
    return network.conv_out(network.conv_act(network.conv_norm_out(sample)))
