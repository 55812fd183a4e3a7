"""Training pairs and command lines small enough to train in seconds."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import torch
from tiny_generator import tiny_generator, tiny_window

from faithfusion.clips.store import write_shard
from faithfusion.video.editing.composite import ErrorProfile
from faithfusion.video.weights.generator_file import save_generator

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPT = str(REPOSITORY / "train_video/train.py")
OWN_GROUP = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # set by runs in this process


def write_pairs(folder: Path, num_shards: int = 2) -> Path:
    """Shards of two windows (5 x 32 x 48), one more frame size than the codec's smallest."""
    for number in range(num_shards):
        write_shard(folder / f"street_{number}.safetensors", [tiny_window(seed=2 * number + i) for i in range(2)])
    return folder


def write_codec(path: Path) -> Path:
    """A weights file of the micro generator, whose codec works without training (a cosine transform)."""
    save_generator(path, tiny_generator(), ErrorProfile(), {}, dtype="float32")
    return path


def write_trained(path: Path, **changes: object) -> Path:
    """A weights file of a micro generator whose parts all do something."""
    save_generator(path, tiny_generator(trained=True, **changes), ErrorProfile(), {}, dtype="float32")
    return path


def debug_options(folder: Path, **options: object) -> list[str]:
    """Options of a run of configs/train_video/debug.yaml on pairs and codec of `folder`; `__` in a name is a dot."""
    values = {"run": folder / "run", "data.train": folder / "pairs", "codec_from": folder / "codec.safetensors"}
    values |= {name.replace("__", "."): value for name, value in options.items()}
    values.setdefault("deepspeed", REPOSITORY / "ds_configs/cpu.json")
    config = str(REPOSITORY / "configs/train_video/debug.yaml")
    # DeepSpeed's launcher loses an empty argument, so name and value are one
    return ["--config", config, *(f"--{name}={value}" for name, value in values.items())]


def logged(run: Path, name: str = "loss") -> list[float]:
    """A value of every step of a run's log."""
    return [json.loads(line)[name] for line in (run / "log.jsonl").read_text().splitlines()]


def fixed_generator(seed: int = 0) -> torch.Generator:
    """A generator in the same state at every call."""
    return torch.Generator().manual_seed(seed)


def environment() -> dict[str, str]:
    """For a new process: one thread, and the launchers of this Python on the path."""
    kept = {key: value for key, value in os.environ.items() if key not in OWN_GROUP}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "OMP_NUM_THREADS": "1", "PATH": path}


def launcher(name: str, processes: int = 2) -> list[str]:
    """The command that starts a script in several processes, on a port of its own."""
    if name == "torchrun":
        return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), "--"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return ["deepspeed", name, str(processes), "--master_port", str(port)]


def start_training(options: list[str], starter: list[str] | None = None) -> subprocess.Popen[bytes]:
    """train.py in a process group of its own, so that it can be killed with all its workers."""
    command = [*(starter or [sys.executable]), SCRIPT, *options]
    return subprocess.Popen(
        command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def wait_for_step(process: subprocess.Popen[bytes], run: Path, step: int, patience_s: float = 300.0) -> None:
    """Returns once the log has the line of `step`; fails if the run ends before."""
    log, end = run / "log.jsonl", time.monotonic() + patience_s
    while not (log.is_file() and len(log.read_text().splitlines()) >= step):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < end, "the run did not get far enough"
        time.sleep(0.01)
