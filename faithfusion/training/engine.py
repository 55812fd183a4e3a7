"""DeepSpeed behind a few verbs: start, forward, backward, step, save, load. The only file that imports it.

Every role of a method (`optimizer.Role`) is one DeepSpeed engine. It wraps the role's module, whose registered
submodules are exactly what is trained; frozen models stay outside, so ZeRO shards and checkpoints never hold them. One
process without the launcher takes the same path with a world of one.
"""

from __future__ import annotations

import atexit
import copy
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import deepspeed
import deepspeed.ops
import torch
import torch.distributed
from deepspeed.runtime.config import DeepSpeedConfig, DeepSpeedConfigError
from deepspeed.utils import logger as deepspeed_logger
from deepspeed.utils import safe_get_full_fp32_param
from torch import Tensor, nn

from faithfusion.training.config import TrainConfig
from faithfusion.training.ds_config import is_bf16, is_frozen_bf16, merged_deepspeed_config
from faithfusion.training.optimizer import STUDENT, Role, build_optimizer
from faithfusion.training.topology import Topology
from faithfusion.utils.errors import InputError

PATIENCE = timedelta(hours=2)
"""How long processes wait for each other: the first one validates alone, and shares of latents differ in size."""


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
        deepspeed.init_distributed("nccl" if cuda else "gloo", verbose=False, timeout=PATIENCE)
        atexit.register(stop_processes)
    return Topology(torch.distributed.get_rank(), torch.distributed.get_world_size(), device)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stop_processes() -> None:
    """Leaves the process group, as the end of the program does by itself: DeepSpeed cannot start again after it."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def wait_for_all() -> None:
    """Returns once every process has called it."""
    torch.distributed.barrier()


def checked_deepspeed_config(config: TrainConfig, topology: Topology) -> dict[str, Any]:
    """`merged_deepspeed_config`, read once as DeepSpeed reads it. Raises InputError for what DeepSpeed refuses."""
    merged = merged_deepspeed_config(config, topology)
    try:
        DeepSpeedConfig(copy.deepcopy(merged))
    except (ValueError, TypeError, AssertionError, DeepSpeedConfigError) as error:
        found = " ".join(str(error).split())[:300]
        raise InputError(config.deepspeed, found, "a configuration that DeepSpeed accepts") from None
    return merged


class Engine:
    """The roles of a training method under DeepSpeed, by name."""

    def __init__(self, roles: Mapping[str, Role], config: TrainConfig, topology: Topology) -> None:
        self.topology, self.roles = topology, dict(roles)
        self._autocast = needs_autocast(config, topology.device)
        self._engines = {name: _start_engine(role, config, topology) for name, role in roles.items()}

    def forward(self, role: str, *inputs: Any) -> Any:
        """The forward pass of a role's module under DeepSpeed's hooks."""
        with torch.autocast(self.topology.device.type, torch.bfloat16, enabled=self._autocast):
            return self._engines[role](*inputs)

    def backward(self, role: str, loss: Tensor) -> None:
        """Adds the gradient of one micro-batch (the division by the accumulation steps is done here)."""
        self._engines[role].backward(loss)

    def step(self, role: str, learning_rate: float) -> float:
        """Ends a micro-batch; after the last of the accumulation it updates the role's weights. The gradient's L2 norm
        before clipping (of the last update)."""
        engine = self._engines[role]
        for group in engine.optimizer.param_groups:
            group["lr"] = learning_rate
        is_plain = engine.zero_optimization_stage() == 0 and not engine.bfloat16_enabled()
        plain_norm = _norm_of_gradients(engine.module) if is_plain else 0.0
        engine.step()
        return float(engine.get_global_grad_norm() or plain_norm)

    def wait_for_all(self) -> None:
        """Returns once every process has called it."""
        wait_for_all()

    def mean_over_ranks(self, values: dict[str, Tensor]) -> dict[str, float]:
        """Scalars averaged over the processes; every process must give the same keys."""
        packed = torch.stack([value.detach().float().to(self.topology.device) for value in values.values()])
        if self.topology.world_size > 1:
            torch.distributed.all_reduce(packed)
            packed = packed / self.topology.world_size
        return dict(zip(values, packed.tolist(), strict=True))

    def agree(self, value: float) -> float:
        """The first process's value, on every process."""
        shared = torch.tensor([value], dtype=torch.float64, device=self.topology.device)
        torch.distributed.broadcast(shared, src=0)
        return float(shared)

    def any_of(self, is_so: bool) -> bool:
        """Whether it is so on any process, on every process."""
        shared = torch.tensor([is_so], dtype=torch.uint8, device=self.topology.device)
        torch.distributed.all_reduce(shared, torch.distributed.ReduceOp.MAX)
        return bool(shared)

    def weights(self, role: str = STUDENT) -> Iterator[tuple[str, Tensor]]:
        """The trained weights by name from the fp32 master copy, one at a time, gathered from all shards. Every process
        must go through all of them."""
        engine = self._engines[role]
        has_master = engine.bfloat16_enabled() or engine.zero_optimization_stage() == 3
        for name, parameter in engine.module.named_parameters():
            master = safe_get_full_fp32_param(parameter) if has_master else None
            yield name, (parameter if master is None else master).detach().float()

    def save(self, folder: Path) -> None:
        """Writes weights and optimiser of every role into `folder`. Every process must call it."""
        for name, engine in self._engines.items():
            engine.save_checkpoint(str(folder), tag=name, save_latest=False)

    def load(self, folder: Path) -> None:
        """Reads what `save` wrote. InputError when it is damaged or incomplete."""
        for name, engine in self._engines.items():
            place, expected = folder / name, "a whole checkpoint of this run"
            try:
                path, _ = engine.load_checkpoint(str(folder), tag=name)
            except (RuntimeError, OSError, EOFError, KeyError, AssertionError, UnpicklingError) as error:
                raise InputError(place, f"cannot be read ({' '.join(str(error).split())[:200]})", expected) from None
            if path is None:
                raise InputError(place, "no checkpoint there", expected)


def needs_autocast(config: TrainConfig, device: torch.device) -> bool:
    """Whether any weights of the forward pass are bf16."""
    return is_bf16(config, device) or is_frozen_bf16(config, device)


def _start_engine(role: Role, config: TrainConfig, topology: Topology) -> deepspeed.DeepSpeedEngine:
    engine, *_ = deepspeed.initialize(
        model=role.module,
        optimizer=build_optimizer(role.optimizer, role.module),
        config=checked_deepspeed_config(config, topology),
        dist_init_required=False,
    )
    return engine


def _norm_of_gradients(module: nn.Module) -> float:
    """DeepSpeed clips plain fp32 gradients without telling their norm."""
    return float(torch.nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None]))
