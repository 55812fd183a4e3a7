"""What sampling, codec and training cost on a device, with random weights: the twin of tools/plan_memory.py."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from plan_memory import requested
from torch.utils.flop_counter import FlopCounterMode

from faithfusion.config import parse_config
from faithfusion.utils.device import choose_device
from faithfusion.utils.errors import InputError
from faithfusion.video.conditioning import LatentConditions
from faithfusion.video.memory import cast_weights, set_tiles
from faithfusion.video.model import Generator
from faithfusion.video.plan import PlanRequest
from faithfusion.video.plan_models import empty_conditions, tensors_of
from faithfusion.video.plan_options import PlanOptions

GB, TERA = 1e9, 1e12


@dataclass(frozen=True)
class CardConfig(PlanOptions):
    """A generator's steps on a device, measured.

    With weights of random numbers, what tools/plan_memory.py predicts for the same options, offloading aside. Training,
    with `train` only, is the real step in one process (`gpus` and `zero` say nothing): DeepSpeed, the method, and the
    moving average as often as the run moves it. The weights are built in float32 on the device, 4 bytes each.

    Attributes:
        device: auto, cuda or cpu. Peaks are those of CUDA's allocator, without context and fragmentation; the CPU has
            none. Training is on CUDA if there is a device.
        repeats: timed runs; the median counts.
    """

    device: str = "auto"
    repeats: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.repeats < 1:
            raise InputError("repeats", self.repeats, "at least 1")


def bench_card(argv: list[str]) -> None:
    """Prints one row per step: seconds, operations, and the peak of what is allocated on the card, weights and all."""
    options = parse_config(CardConfig, argv, description=CardConfig.__doc__ or "")
    if options.parts == "training" and not options.train:
        raise InputError("train", "empty", "the YAML file of the training run whose step is to be measured")
    request, name = requested(options)
    device = choose_device(options.device)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    size = request.size
    print(f"{name} on {card}, torch {torch.__version__}: {size.frames} frames of {size.height}x{size.width}\n")
    print("| | seconds | TFLOP | TFLOP/s | peak, GB |\n" + "|---" * 5 + "|")
    if {"sampling", "codec"} & set(request.parts):
        generator = random_generator(request, device)
        if "sampling" in request.parts:
            _sampling_rows(generator, request, options, device)
        if "codec" in request.parts:
            _codec_rows(generator, request, options, device)
        del generator
    if "training" in request.parts and options.train:
        from benchmarks.card_training import training_row  # DeepSpeed, seconds to import

        training_row(request, options)


def random_generator(request: PlanRequest, device: torch.device) -> Generator:
    """The planned generator on `device`, as for sampling. Starts like a new one, whose output is almost 0."""
    with device:
        generator = Generator(request.generator).eval().requires_grad_(False)
    cast_weights(generator, request.memory, device)
    set_tiles(generator.codec, request.memory)
    return generator


def random_conditions(request: PlanRequest, active: float, device: torch.device, batch: int = 1) -> LatentConditions:
    """Conditions of clips of the planned size, filled with numbers in [0, 1]; phi is 1 for the first `active` of the
    tokens, else 0."""
    drawn = empty_conditions(request.generator, request.size, batch, request.references, active, device)
    phi = drawn.phi.to(device)
    for tensor in tensors_of(dataclasses.replace(drawn, phi=phi.new_zeros(0))):
        tensor.uniform_()
    return dataclasses.replace(drawn, phi=phi)


@torch.no_grad()
def _sampling_rows(generator: Generator, request: PlanRequest, options: CardConfig, device: torch.device) -> None:
    _step_row(generator, random_conditions(request, 1.0, device), "step, all tokens", options)
    for active in request.active:
        conditions = generator.prepare(random_conditions(request, active, device))
        print_row(f"context, {active:.0%} active", partial(generator.remember_context, conditions), options, device)
        _step_row(generator, conditions, f"step, {active:.0%} active", options)


def _step_row(generator: Generator, conditions: LatentConditions, label: str, options: CardConfig) -> None:
    conditions, device = generator.prepare(conditions), conditions.phi.device
    state, instant = torch.randn_like(conditions.render_latent), torch.ones(1, device=device)
    kept = generator.remember_context(conditions)  # nothing where all tokens are active
    step = partial(generator.velocity, state, instant, conditions, path="bridge", memory=kept)
    print_row(label, step, options, device)


@torch.no_grad()
def _codec_rows(generator: Generator, request: PlanRequest, options: CardConfig, device: torch.device) -> None:
    size = request.size
    video = torch.rand(1, 3, size.frames, size.height, size.width, device=device) * 2 - 1
    latent = torch.randn(1, request.generator.codec.latent_channels, *size.latent, device=device)
    print_row("VAE encode", partial(generator.codec.encode, video), options, device)
    print_row("VAE decode", partial(generator.codec.decode, latent), options, device)


def print_row(
    label: str, work: Callable[[], object], options: CardConfig, device: torch.device, *, is_counted: bool = True
) -> None:
    """Times `options.repeats` runs after one for warm-up and one for the peak; a last one counts operations. Those of a
    training step cannot be counted: torch's counter would keep what recomputation makes, more than a card holds."""
    work()
    peak, operations = _peak_gb(work, device), "- | -"
    seconds = _median_s(work, options.repeats, device)
    if is_counted:
        with FlopCounterMode(display=False) as counter:
            work()
        tera = counter.get_total_flops() / TERA
        operations = f"{tera:.3g} | {tera / seconds:.3g}"
    print(f"| {label} | {seconds:.3f} | {operations} | {peak} |", flush=True)


def _peak_gb(work: Callable[[], object], device: torch.device) -> str:
    """Weights and all; a dash where nobody counts."""
    if device.type != "cuda":
        return "-"
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    work()
    return f"{torch.cuda.max_memory_allocated(device) / GB:.2f}"


def _median_s(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    times = []
    for _ in range(repeats):
        _finish(device)
        start = time.perf_counter()
        work()
        _finish(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
