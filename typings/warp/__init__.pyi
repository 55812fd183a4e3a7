"""Warp compiles its kernels from Python text with rules of its own, which a type checker of Python cannot follow."""

from typing import Any

def __getattr__(name: str) -> Any: ...
