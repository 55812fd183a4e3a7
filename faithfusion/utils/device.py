"""Chooses a device by its name."""

from __future__ import annotations

import torch

from faithfusion.utils.errors import InputError


def choose_device(name: str) -> torch.device:
    """The device called `name`; "auto" means CUDA if there is a device, else the CPU.

    Raises InputError for a device that is unknown or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError("device", name, f"auto, cpu or cuda ({str(error).splitlines()[0]})") from None
    return device
