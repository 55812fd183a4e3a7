"""A generator and windows small enough for unit tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from faithfusion.types import Camera, EigVolume, WarpedViews, Window
from faithfusion.utils.seed import make_generator
from faithfusion.video.model.block import BlockInputs
from faithfusion.video.model.config import BranchConfig, CodecConfig, GeneratorConfig, TinyVaeConfig, WanConfig
from faithfusion.video.model.generator import Generator, build_generator
from faithfusion.video.model.wan import WanBackbone, last_tokens

TINY_VAE = TinyVaeConfig(width_quarter=16, width_eighth=16, width_chunk=16, blocks_quarter=1)
TINY = GeneratorConfig(
    codec=CodecConfig(latent_channels=8, tiny=TINY_VAE),
    wan=WanConfig(num_layers=3, num_heads=2, head_dim=12, ffn_dim=32, text_dim=8, freq_dim=16, rope_max_len=32),
    branch=BranchConfig(num_blocks=2),
    prompt_tokens=2,
)


def tiny_config(**changes: object) -> GeneratorConfig:
    """TINY with changes; `branch__references` is the field `references` of `branch`."""
    config = TINY
    for name, value in changes.items():
        part, _, inner = name.partition("__")
        change = dataclasses.replace(getattr(config, part), **{inner: value}) if inner else value
        config = dataclasses.replace(config, **{part: change})
    return config


def tiny_generator(seed: int = 0, *, trained: bool = False, **changes: object) -> Generator:
    """`trained`: output projections that start at zero get random values, as any training would leave them.
    `changes`: see `tiny_config`."""
    random = make_generator(seed, "tiny generator")
    generator = build_generator(tiny_config(**changes), random)
    if trained:
        with torch.no_grad():
            for weight in (generator.backbone.proj_out.weight, *(p.weight for p in generator.branch.projections)):
                weight.copy_(0.3 * torch.randn(weight.shape, generator=random))
    return generator.eval()


def wan_forward(
    backbone: WanBackbone,
    tokens: Tensor,
    inputs: BlockInputs,
    samples: Sequence[Tensor] = (),
    injection: Sequence[int] = (),
) -> Tensor:
    """Patches of the backbone's output."""
    return backbone.proj_out(last_tokens(backbone, tokens, inputs, samples, injection))


def tiny_cameras(count: int, height: int, width: int, step_m: float = 0.5, axis: int = 2) -> tuple[Camera, ...]:
    """A camera driving straight ahead, or along another axis of its own, `step_m` per image."""
    intrinsics = torch.tensor([[width, 0.0, width / 2], [0.0, width, height / 2], [0.0, 0.0, 1.0]])
    world_from_camera = torch.eye(4).repeat(count, 1, 1)
    world_from_camera[:, axis, 3] = step_m * torch.arange(count)
    return tuple(Camera(intrinsics.clone(), pose, width, height) for pose in world_from_camera)


def tiny_window(
    frames: int = 5, height: int = 32, width: int = 48, seed: int = 0, *, poses: bool = False, warped: int = 0
) -> Window:
    """Random colours; expected error grows from left to right over two decades. `warped`: how many warped views."""
    random = make_generator(seed, "tiny window")
    rms = torch.logspace(-3, 0, width).expand(frames, height, width).clone()
    eig = EigVolume(eig_nats=rms * 5.0, expected_sq_error=0.1 * rms.square(), alpha=torch.ones_like(rms))
    views = torch.rand(max(warped, 1), frames, height, width, 4, generator=make_generator(seed, "tiny warped views"))
    return Window(
        render=torch.rand(frames, height, width, 3, generator=random),
        eig=eig,
        depth=torch.full((frames, height, width), 10.0),
        references=torch.rand(1, height, width, 3, generator=random),
        known=torch.zeros(frames, dtype=torch.bool),
        truth=torch.rand(frames, height, width, 3, generator=random),
        cameras=tiny_cameras(frames, height, width) if poses else (),
        time_indices=tuple(range(frames)) if poses else (),
        reference_cameras=tiny_cameras(1, height, width) if poses else (),
        warped=WarpedViews(views[..., :3], views[..., 3]) if warped else None,
    )
