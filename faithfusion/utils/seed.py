"""Named random generators: every use of chance draws from a stream of its own, and all follow from one seed."""

from __future__ import annotations

import hashlib

import torch


def make_generator(seed: int, *names: object, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose stream depends on `seed` and the names of its use only."""
    digest = hashlib.sha256(repr((seed, *map(str, names))).encode()).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest[:7], "big"))
