"""Training pairs and command lines small enough to train in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tiny_generator import tiny_generator, tiny_window

from faithfusion.clips.store import write_shard
from faithfusion.video.composite import ErrorProfile
from faithfusion.video.weights import save_generator

REPOSITORY = Path(__file__).resolve().parents[1]


def write_pairs(folder: Path, num_shards: int = 2) -> Path:
    """Shards of two windows (5 x 32 x 48), one more frame size than the codec's smallest."""
    for number in range(num_shards):
        write_shard(folder / f"street_{number}.safetensors", [tiny_window(seed=2 * number + i) for i in range(2)])
    return folder


def write_codec(path: Path) -> Path:
    """A weights file of the micro generator, whose codec works without training (a cosine transform)."""
    save_generator(path, tiny_generator(), ErrorProfile(), {}, dtype="float32")
    return path


def debug_options(folder: Path, **options: object) -> list[str]:
    """Options of a run of configs/train_video/debug.yaml on pairs and codec of `folder`; `__` in a name is a dot."""
    values = {"run": folder / "run", "data.train": folder / "pairs", "codec_from": folder / "codec.safetensors"}
    values |= {name.replace("__", "."): value for name, value in options.items()}
    values.setdefault("deepspeed", REPOSITORY / "ds_configs/cpu.json")
    config = str(REPOSITORY / "configs/train_video/debug.yaml")
    return ["--config", config, *(part for name, value in values.items() for part in (f"--{name}", str(value)))]


def logged(run: Path, name: str = "loss") -> list[float]:
    """A value of every step of a run's log."""
    return [json.loads(line)[name] for line in (run / "log.jsonl").read_text().splitlines()]


def fixed_generator(seed: int = 0) -> torch.Generator:
    """A generator in the same state at every call."""
    return torch.Generator().manual_seed(seed)
