"""DeepSpeed behind a few verbs: start, forward, backward, step, save, load. The only file that imports it.

The engine wraps the method, whose registered submodules are exactly what is trained; frozen models stay outside, so
ZeRO shards and checkpoints never hold them. One process without the launcher takes the same path with a world of one.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deepspeed
import deepspeed.ops
import torch
import torch.distributed
from deepspeed.utils import logger as deepspeed_logger
from deepspeed.utils import safe_get_full_fp32_param
from torch import Tensor, nn

from faithfusion.utils.errors import InputError
from train_video.config import TrainConfig
from train_video.optimizer import build_optimizer

REFUSED_KEYS = ("optimizer", "scheduler", "fp16", "amp")


@dataclass(frozen=True)
class Topology:
    """This process among all processes of the run."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this process writes logs and files that exist once."""
        return self.rank == 0


def start_processes() -> Topology:
    """Joins the process group, once: NCCL with CUDA, gloo on CPU. Without a launcher this process is the world."""
    if "RANK" not in os.environ:  # else DeepSpeed asks mpi4py
        alone = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": _free_port()}
        os.environ.update({key: str(value) for key, value in alone.items()})
    deepspeed_logger.setLevel(logging.ERROR)
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
    else:
        # gloo alone is fast enough here, and compiling DeepSpeed's shared-memory op takes more than a minute
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    if not torch.distributed.is_initialized():
        deepspeed.init_distributed("nccl" if cuda else "gloo", verbose=False)
    return Topology(torch.distributed.get_rank(), torch.distributed.get_world_size(), device)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stop_processes() -> None:
    """Leaves the process group, at the end of the program: DeepSpeed cannot start again after it."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def wait_for_all() -> None:
    """Returns once every process has called it."""
    torch.distributed.barrier()


def is_bf16(config: TrainConfig, device: torch.device) -> bool:
    """Whether the trained weights are bf16 with an fp32 master copy; `auto` means on CUDA only."""
    return config.precision == "bf16" or (config.precision == "auto" and device.type == "cuda")


def merged_deepspeed_config(config: TrainConfig, topology: Topology) -> dict[str, Any]:
    """The JSON file of `config.deepspeed` with the keys that TrainConfig owns filled in.

    Raises InputError where the file is not JSON, names something TrainConfig owns, or holds a value other than "auto"
    that disagrees with TrainConfig.
    """
    path = Path(config.deepspeed)
    merged = _read_json(path)
    for key in REFUSED_KEYS:
        if key in merged:
            raise InputError(f"{path} key {key}", "present", "no such key: it is set by the training config")
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
    return merged


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise InputError(path, error.strerror or error, "a DeepSpeed configuration file") from None
    except json.JSONDecodeError as error:
        raise InputError(path, error, "JSON") from None


def _fill(given: dict[str, Any], owned: dict[str, Any], where: str) -> None:
    for key, value in owned.items():
        if isinstance(value, dict):
            _fill(given.setdefault(key, {}), value, f"{where} key {key}")
        elif given.setdefault(key, "auto") == "auto":
            given[key] = value
        elif given[key] != value:
            raise InputError(f"{where} key {key}", given[key], f'{value} as in the training config, or "auto"')


class Engine:
    """A training method under DeepSpeed."""

    def __init__(self, method: nn.Module, config: TrainConfig, topology: Topology) -> None:
        self.topology = topology
        self._autocast = is_bf16(config, topology.device)
        self._deepspeed, *_ = deepspeed.initialize(
            model=method,
            optimizer=build_optimizer(config.optimizer, method),
            config=merged_deepspeed_config(config, topology),
            dist_init_required=False,
        )

    def forward(self, *inputs: Any) -> Any:
        """The method's forward pass under DeepSpeed's hooks."""
        with torch.autocast(self.topology.device.type, torch.bfloat16, enabled=self._autocast):
            return self._deepspeed(*inputs)

    def backward(self, loss: Tensor) -> None:
        """Adds the gradient of one micro-batch (the division by the accumulation steps is done here)."""
        self._deepspeed.backward(loss)

    def step(self, learning_rate: float) -> float:
        """Ends a micro-batch; after the last of the accumulation it updates the weights. The gradient's L2 norm before
        clipping (of the last update)."""
        for group in self._deepspeed.optimizer.param_groups:
            group["lr"] = learning_rate
        plain_norm = 0.0 if self._has_master or self._is_sharded else self._norm_of_gradients()
        self._deepspeed.step()
        return float(self._deepspeed.get_global_grad_norm() or plain_norm)

    def _norm_of_gradients(self) -> float:
        """DeepSpeed clips plain fp32 gradients without telling their norm."""
        gradients = [p.grad for p in self._deepspeed.module.parameters() if p.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients))

    def wait_for_all(self) -> None:
        """Returns once every process has called it."""
        wait_for_all()

    def mean_over_ranks(self, values: dict[str, Tensor]) -> dict[str, float]:
        """Scalars averaged over the processes; every process must give the same keys."""
        packed = torch.stack([value.detach().float() for value in values.values()]).to(self.topology.device)
        if self.topology.world_size > 1:
            torch.distributed.all_reduce(packed)
            packed = packed / self.topology.world_size
        return dict(zip(values, packed.tolist(), strict=True))

    def agree(self, value: float) -> float:
        """The first process's value, on every process."""
        shared = torch.tensor([value], dtype=torch.float64, device=self.topology.device)
        torch.distributed.broadcast(shared, src=0)
        return float(shared)

    def full_precision_weights(self) -> dict[str, Tensor]:
        """The trained weights by name from the fp32 master copy, gathered from all shards. Every process must call."""
        weights = {}
        for name, parameter in self._deepspeed.module.named_parameters():
            master = safe_get_full_fp32_param(parameter) if self._has_master else None
            weights[name] = (parameter if master is None else master).detach().float()
        return weights

    @property
    def _has_master(self) -> bool:
        return self._deepspeed.bfloat16_enabled() or self._deepspeed.zero_optimization_stage() == 3

    @property
    def _is_sharded(self) -> bool:
        return self._deepspeed.zero_optimization_stage() > 0

    def save(self, folder: Path, tag: str) -> None:
        """Writes weights and optimiser under `folder/tag`. Every process must call it."""
        self._deepspeed.save_checkpoint(str(folder), tag=tag, save_latest=False)

    def load(self, folder: Path, tag: str) -> None:
        """Reads what `save` wrote. InputError when it is damaged or incomplete."""
        try:
            path, _ = self._deepspeed.load_checkpoint(str(folder), tag=tag)
        except (RuntimeError, OSError, EOFError, KeyError, AssertionError) as error:
            raise InputError(folder / tag, f"cannot be read ({error})", "a whole checkpoint of this run") from None
        if path is None:
            raise InputError(folder / tag, "no checkpoint there", "a whole checkpoint of this run")
