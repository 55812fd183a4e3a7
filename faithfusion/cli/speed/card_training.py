"""A training step measured on a device: the method, DeepSpeed and the moving average, on random weights."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from faithfusion.cli.speed.card_rows import print_row, random_conditions
from faithfusion.cli.speed.speed_config import CardConfig
from faithfusion.config import parse_config
from faithfusion.training.callbacks.base import Run
from faithfusion.training.callbacks.ema import Ema
from faithfusion.training.config import TrainConfig
from faithfusion.training.data import LatentBatch, Pick, Sampler
from faithfusion.training.engine import Engine, start_processes, stop_processes
from faithfusion.training.loop import train_step
from faithfusion.training.method import build_method
from faithfusion.training.start import place_for_training
from faithfusion.video.model.generator import Generator
from faithfusion.video.plan.plan import PlanRequest


@dataclass(frozen=True)
class SameBatch:
    """A data set of one micro-batch."""

    content: LatentBatch

    def __len__(self) -> int:
        return 1

    def batch(self, picks: Sequence[Pick], generator: torch.Generator) -> LatentBatch:
        """The same one at every step."""
        return self.content


def training_row(request: PlanRequest, options: CardConfig) -> None:
    """The step of `training.loop` and its moving average, in one process, without reading data: clips of random
    numbers, phi 1 everywhere, `options.references` recorded views."""
    config = parse_config(TrainConfig, ["--config", options.train])
    config = dataclasses.replace(config, deepspeed=options.deepspeed or config.deepspeed)
    topology = start_processes()
    device = topology.device
    try:
        with device:
            model = Generator(request.generator)
        model.codec.to("cpu")
        method = build_method(config, model)
        place_for_training(model, config, device)
        with tempfile.TemporaryDirectory() as folder:
            run = Run(config, Path(folder), Engine(method.roles, config, topology), model, method.updates)
            average = Ema(config.ema)
            average.start(run)
            conditions = random_conditions(request, 1.0, device, request.micro_batch)
            dataset = SameBatch(LatentBatch(torch.rand_like(conditions.render_latent), conditions))
            sampler = Sampler(len(dataset), request.micro_batch, seed=0, flip=False)

            def step() -> None:
                average.step_done(run, train_step(run, sampler, dataset))

            print_row(f"training step, {Path(config.deepspeed).stem}", step, options, device, is_counted=False)
    finally:
        stop_processes()
