"""Weights from a user's file: tensors and nothing else, and those of the network that is meant."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from faithfusion.utils.errors import InputError


def read_state(path: Path, expected: str) -> dict[str, Tensor]:
    """Returns the tensors of a file by name, on the CPU. Raises InputError if it is missing or holds anything else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(path, "no such file", expected) from None
    except Exception as error:  # torch and pickle raise half a dozen kinds for a damaged file
        raise InputError(path, f"cannot be read ({type(error).__name__})", expected) from None
    is_dict = isinstance(state, dict)
    if not is_dict or not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()):
        raise InputError(path, f"a {type(state).__name__}" + " of other things than named tensors" * is_dict, expected)
    return state


def load_state(network: nn.Module, path: Path, expected: str, prefix: str = "") -> None:
    """Loads the tensors of a file into a network, without `prefix` before their names.

    Raises InputError if the file is missing, holds anything but tensors, or those of another network.
    """
    state = read_state(path, expected)
    shapes = {name.removeprefix(prefix): tuple(value.shape) for name, value in state.items()}
    own = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    wrong = sorted(name for name in shapes.keys() | own.keys() if shapes.get(name) != own.get(name))
    if wrong:
        found = f"{len(wrong)} tensors that differ, {wrong[0]} among them"
        raise InputError(path, found, expected)
    network.load_state_dict({name.removeprefix(prefix): value for name, value in state.items()})
