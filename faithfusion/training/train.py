"""Trains the generator, its codec or the fixer on shards of windows, in one process or many."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from faithfusion.config import save_config
from faithfusion.training.callbacks.base import Callback, Run
from faithfusion.training.callbacks.checkpoint import load_checkpoint, run_identity, save_checkpoint
from faithfusion.training.callbacks.ema import Ema
from faithfusion.training.callbacks.log import Log
from faithfusion.training.callbacks.validation import Validation
from faithfusion.training.config import TrainConfig
from faithfusion.training.data import Sampler, WindowRef, training_windows, validation_windows
from faithfusion.training.engine import Engine, checked_deepspeed_config, start_processes
from faithfusion.training.export import Trained, export, export_file
from faithfusion.training.loop import train_step
from faithfusion.training.method import build_dataset, build_method
from faithfusion.training.start import Model, place_for_training, require_video_model, starting_model, twin_of
from faithfusion.training.topology import Topology
from faithfusion.utils.atomic import require_writable
from faithfusion.utils.progress import say


def run_training(config: TrainConfig, *, dry_run: bool) -> None:
    """Starts the processes, checks everything, and trains unless it is a dry run."""
    topology = start_processes()
    checked_deepspeed_config(config, topology)
    windows = training_windows(config.data)
    held_out = validation_windows(config.data)
    require_video_model(config)
    model = starting_model(config)
    if topology.is_first:
        say(f"{config.method}: {len(windows)} windows to train on, {len(held_out)} held out, on {topology.device}")
    if not dry_run:
        train(config, topology, model, held_out)


def train(config: TrainConfig, topology: Topology, model: Model, held_out: Sequence[WindowRef]) -> None:
    """Trains until the last step or the end of the time, then exports. SIGTERM ends it after the step that is being
    done, with a checkpoint from which the same command continues."""
    folder = Path(config.run)
    require_writable(folder)
    dataset = build_dataset(config, model, topology)
    method = build_method(config, model)
    twin = twin_of(model)
    for network in method.networks:
        place_for_training(network, config, topology.device)
    run = Run(config, folder, Engine(method.roles, config, topology), model, method.updates)
    ema = Ema(config.ema)
    callbacks: list[Callback] = [ema, Log(config.log), Validation(config.validation, held_out, ema, twin)]
    identity = run_identity(config, world_size=topology.world_size, windows=len(dataset))
    load_checkpoint(run, callbacks, identity)
    if run.is_first:
        save_config(config, folder / "config.yaml")
    for callback in callbacks:
        callback.start(run)
    sampler = Sampler(len(dataset), config.data.micro_batch, seed=config.seed, flip=config.data.horizontal_flip)
    begin = time.monotonic() - run.elapsed_s
    is_stopped = False
    with asked_to_stop() as asked:
        while not (is_finished(run) or is_stopped):
            record = train_step(run, sampler, dataset)
            for callback in callbacks:
                callback.step_done(run, record)
            run.elapsed_s = run.engine.agree(time.monotonic() - begin)
            is_stopped = run.engine.any_of(asked.is_set())
            if run.step % config.checkpoint.every_steps == 0 or is_stopped or is_finished(run):
                save_checkpoint(run, callbacks, identity)
    for callback in callbacks:
        callback.close(run)
    if is_stopped and not is_finished(run):
        if run.is_first:
            say(f"stopped after step {run.step} by SIGTERM; the same command continues")
        return
    if run.is_first:
        averaged = {name: weight.cpu() for name, weight in ema.weights.items()}
        trained = Trained(averaged, "ema", run.step, run.elapsed_s / 60.0)
        export(folder / export_file(config), config, twin, trained, topology.device)
    run.engine.wait_for_all()


@contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """Inside, SIGTERM sets the event instead of ending the program: schedulers of clusters and of machines that may be
    taken away send it some time before they kill."""
    asked = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)


def is_finished(run: Run) -> bool:
    """Whether the steps are done or the time is over."""
    limit_s = 60.0 * run.config.max_minutes
    return run.step >= run.config.num_steps or 0 < limit_s <= run.elapsed_s
