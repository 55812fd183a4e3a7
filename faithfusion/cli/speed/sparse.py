"""What a sampling step costs when only some tokens are active: seconds, against the share of a dense step."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

from faithfusion.cli.speed.speed_config import SparseBenchConfig
from faithfusion.utils.seed import make_generator
from faithfusion.video.model.attention import ContextMemory
from faithfusion.video.model.conditioning import LatentConditions
from faithfusion.video.model.config import CodecConfig, GeneratorConfig, ScheduleConfig
from faithfusion.video.model.generator import Generator, build_generator
from faithfusion.video.model.spec import BackboneSpec


@torch.no_grad()
def bench_sparse(config: SparseBenchConfig) -> None:
    """Prints one row per share: the step, against share x dense, and the one pass over the context before it."""
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
