"""A DeepSpeed configuration file, completed from the training configuration and checked against it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from faithfusion.training.config import TrainConfig
from faithfusion.training.topology import Topology
from faithfusion.utils.errors import InputError
from faithfusion.video.weights.weight_files import read_json

REFUSED_KEYS = ("optimizer", "scheduler", "fp16", "amp", "torch_autocast")
KNOWN_KEYS = {  # DeepSpeed ignores any other one silently, also a mistyped one
    *("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping"),
    *("bf16", "zero_optimization", "zero_allow_untested_optimizer", "zero_force_ds_cpu_optimizer", "data_types"),
    *("communication_data_type", "prescale_gradients", "gradient_predivide_factor", "aio", "checkpoint"),
    *("wall_clock_breakdown", "memory_breakdown", "dump_state", "comms_logger", "flops_profiler", "steps_per_print"),
}


def is_bf16(config: TrainConfig, device: torch.device) -> bool:
    """Whether the trained weights are bf16 with an fp32 master copy; `auto` means on CUDA only."""
    return config.precision == "bf16" or (config.precision == "auto" and device.type == "cuda")


def is_frozen_bf16(config: TrainConfig, device: torch.device) -> bool:
    """Whether backbone and branch are bf16 where they are not trained; `auto` means on CUDA only."""
    return config.frozen_precision == "bf16" or (config.frozen_precision == "auto" and device.type == "cuda")


def merged_deepspeed_config(config: TrainConfig, topology: Topology) -> dict[str, Any]:
    """The JSON file of `config.deepspeed` with the keys that TrainConfig owns filled in.

    Raises InputError where the file is not JSON, has keys that DeepSpeed would ignore, names something TrainConfig
    owns, holds a value other than "auto" that disagrees with TrainConfig, or asks ZeRO for what its stage cannot do.
    """
    path = Path(config.deepspeed)
    merged = read_json(path, "a DeepSpeed configuration file in JSON")
    for key in merged:
        if key in REFUSED_KEYS:
            raise InputError(f"{path} key {key}", "present", "no such key: it is set by the training config")
        if key not in KNOWN_KEYS:
            raise InputError(f"{path} key {key}", "present", f"one of {', '.join(sorted(KNOWN_KEYS))}")
    micro_batch, accumulation = config.data.micro_batch, config.optimizer.accumulation_steps
    owned = {
        "train_micro_batch_size_per_gpu": micro_batch,
        "gradient_accumulation_steps": accumulation,
        "train_batch_size": micro_batch * accumulation * topology.world_size,
        "gradient_clipping": config.optimizer.gradient_clipping,
        "bf16": {"enabled": is_bf16(config, topology.device)},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "wall_clock_breakdown": False,
    }
    _fill(merged, owned, str(path))
    _check_zero(merged.setdefault("zero_optimization", {"stage": 0}), str(path), topology)
    return merged


def _fill(given: dict[str, Any], owned: dict[str, Any], where: str) -> None:
    for key, value in owned.items():
        if isinstance(value, dict):
            inner = given.setdefault(key, {})
            if not isinstance(inner, dict):
                raise InputError(f"{where} key {key}", inner, "a JSON object")
            _fill(inner, value, f"{where} key {key}")
        elif given.setdefault(key, "auto") == "auto":
            given[key] = value
        elif given[key] != value:
            raise InputError(f"{where} key {key}", given[key], f'{value} as in the training config, or "auto"')


def _check_zero(zero: Any, where: str, topology: Topology) -> None:
    """Refuses what DeepSpeed would ignore, or fail on only when training starts."""
    where = f"{where} key zero_optimization"
    if not isinstance(zero, dict):
        raise InputError(where, zero, "a JSON object")
    stage = zero.get("stage", 0)
    if stage not in (0, 1, 2, 3):
        raise InputError(f"{where} key stage", stage, "0, 1, 2 or 3")
    for key, smallest in (("offload_optimizer", 1), ("offload_param", 3)):
        part = zero.get(key)
        if part is None:
            continue
        if stage < smallest:
            raise InputError(f"{where} key {key}", f"with stage {stage}", f"stage {smallest} or more")
        device = part.get("device", "none") if isinstance(part, dict) else part
        if device not in ("none", "cpu") and not (device == "nvme" and topology.device.type == "cuda"):
            raise InputError(f"{where} key {key}", f"device {device}", "none or cpu (or nvme with CUDA)")
    shards = zero.get("zero_hpz_partition_size", 1)
    if topology.world_size % shards or (shards > 1 and stage < 3):
        found = f"{shards} with stage {stage} and {topology.world_size} processes"
        raise InputError(f"{where} key zero_hpz_partition_size", found, "stage 3 and a divisor of the processes")
