"""Measures sampling, codec and training on a device, with random weights: the twin of tools/plan_memory.py."""

from __future__ import annotations

from functools import partial

import torch

from faithfusion.cli.plan_memory import requested
from faithfusion.cli.speed.card_rows import print_row, random_conditions
from faithfusion.cli.speed.speed_config import CardConfig
from faithfusion.utils.device import choose_device
from faithfusion.utils.errors import InputError
from faithfusion.utils.extras import require_extra
from faithfusion.video.model.conditioning import LatentConditions
from faithfusion.video.model.generator import Generator
from faithfusion.video.model.memory import cast_weights, set_tiles
from faithfusion.video.plan.plan import PlanRequest


def bench_card(options: CardConfig) -> None:
    """Prints one row per step: seconds, operations, and the peak of what is allocated on the card, weights and all."""
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
        require_extra("train", "deepspeed", "tensorboard", "decord")
        from faithfusion.cli.speed.card_training import training_row  # DeepSpeed, seconds to import

        training_row(request, options)


def random_generator(request: PlanRequest, device: torch.device) -> Generator:
    """The planned generator on `device`, as for sampling. Starts like a new one, whose output is almost 0."""
    with device:
        generator = Generator(request.generator).eval().requires_grad_(False)
    cast_weights(generator, request.memory, device)
    set_tiles(generator.codec, request.memory)
    return generator


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
