"""Devices by name."""

from __future__ import annotations

import torch

from faithfusion.utils.errors import InputError


def choose_device(name: str) -> torch.device:
    """ "auto" is CUDA if there is a device."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise InputError("device", name, f"auto, cpu or cuda ({str(error).splitlines()[0]})") from None
