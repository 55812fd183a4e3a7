"""Warp is started by whoever comes first."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import torch, warp
from faithfusion.utils.warp_launch import as_warp
print(as_warp(torch.arange(3.0), warp.float32).numpy().sum())
"""


def test_a_tensor_can_be_handed_over_before_any_kernel_ran() -> None:
    """As on a GPU, where gsplat draws and EIG comes first: in a process of its own."""
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert run.stdout.split() == ["3.0"], run.stderr[-1000:]
