"""What a sampling step costs when only some tokens are active: seconds, against the share of a dense step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import torch
from torch import Tensor

from faithfusion.config import parse_config
from faithfusion.utils.seed import make_generator
from faithfusion.video.model.attention import ContextMemory
from faithfusion.video.model.conditioning import LatentConditions
from faithfusion.video.model.config import BranchConfig, CodecConfig, GeneratorConfig, ScheduleConfig, WanConfig
from faithfusion.video.model.generator import Generator, build_generator
from faithfusion.video.model.spec import BackboneSpec


@dataclass(frozen=True)
class SparseBenchConfig:
    """Sizes of the generator and of the clip.

    Attributes:
        wan: Backbone, between wan-tiny and Wan2.1-1.3B.
        branch: Context branch.
        latent_frames: Latent frames of the clip.
        token_rows: Tokens from top to bottom.
        token_columns: Tokens from left to right.
        active: Shares of tokens with phi > 0.
        repeats: Timed steps; the median counts.
    """

    wan: WanConfig = field(default_factory=lambda: WanConfig(num_layers=8, num_heads=8, head_dim=64, ffn_dim=2048))
    branch: BranchConfig = field(default_factory=BranchConfig)
    latent_frames: int = 5
    token_rows: int = 16
    token_columns: int = 24
    active: tuple[float, ...] = (0.1, 0.3, 0.6)
    repeats: int = 3


@torch.no_grad()
def bench_sparse(argv: list[str]) -> None:
    """Prints one row per share: the step, against share x dense, and the one pass over the context before it."""
    config = parse_config(SparseBenchConfig, argv, description=SparseBenchConfig.__doc__ or "")
    generator = build_generator(
        GeneratorConfig(
            codec=CodecConfig(latent_channels=16),
            wan=config.wan,
            branch=config.branch,
            schedule=ScheduleConfig(path="bridge"),
            attention="prefix",
            prior="none",
        ),
        make_generator(0, "bench"),
    ).eval()
    dense_s = _seconds(lambda: _step(generator, _conditions(config, 1.0)), config.repeats)
    tokens = config.latent_frames * config.token_rows * config.token_columns
    print(f"{tokens} tokens, {torch.get_num_threads()} threads, dense step {dense_s:.2f} s\n")
    print("| active | step s | of dense | / (active x dense) | context pass s | cache MiB |\n" + "|---" * 6 + "|")
    for share in config.active:
        conditions = _conditions(config, share)
        found = float((conditions.phi > 0).float().mean())
        context_s = _seconds(lambda c=conditions: generator.remember_context(c), 1)
        memory = generator.remember_context(conditions)
        step_s = _seconds(lambda c=conditions, m=memory: _step(generator, c, m), config.repeats)
        ratio = step_s / (found * dense_s)
        mib = memory.num_bytes() / 2**20
        print(f"| {found:.3f} | {step_s:.2f} | {step_s / dense_s:.3f} | {ratio:.2f} | {context_s:.2f} | {mib:.0f} |")


def _conditions(config: SparseBenchConfig, share: float) -> LatentConditions:
    """Random latents; phi = 1 in the lowest rows of every frame, as the road before the car."""
    grid = (1, config.latent_frames, config.token_rows, config.token_columns)
    order = torch.arange(config.token_rows * config.token_columns).flip(0).reshape(grid[2:]).expand(grid)
    phi = (order < share * config.token_rows * config.token_columns).float()
    spec = BackboneSpec()
    cells = (config.latent_frames, spec.patch * config.token_rows, spec.patch * config.token_columns)
    return LatentConditions(torch.randn(1, spec.channels, *cells), torch.rand(1, spec.eig_channels, *cells), phi)


def _step(generator: Generator, conditions: LatentConditions, memory: ContextMemory | None = None) -> Tensor:
    return generator.velocity(conditions.render_latent, torch.tensor([0.5]), conditions, memory=memory)


def _seconds(run: Callable[[], object], repeats: int) -> float:
    """Seconds of processor time, so that other work on the machine does not count."""
    run()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return median(times)
