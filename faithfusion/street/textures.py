"""Procedural patterns that are averaged over the pixel's footprint, so that they fade instead of flickering.

Every function takes coordinates and the footprint (width of the pixel in the same units), and returns the box-filtered
pattern: A. Apodaca, L. Gritz, "Advanced RenderMan", 1999, chapter 11 (analytic antialiasing of procedural shaders).
"""

from __future__ import annotations

import functools

import numpy as np

TABLE = 256


def interval(x: np.ndarray, low: np.ndarray | float, high: np.ndarray | float, footprint: np.ndarray) -> np.ndarray:
    """Share of the footprint around x that lies in [low, high]."""
    half = 0.5 * footprint
    return np.clip((np.minimum(x + half, high) - np.maximum(x - half, low)) / np.maximum(footprint, 1e-6), 0, 1)


def pulses(x: np.ndarray, period: np.ndarray | float, width: np.ndarray | float, footprint: np.ndarray) -> np.ndarray:
    """Share of the footprint that lies in the bars [k period, k period + width]."""
    spread = np.maximum(footprint, 1e-5)

    def integral(at: np.ndarray) -> np.ndarray:
        cell = np.floor(at / period)
        return cell * width + np.minimum(at - cell * period, width)

    return np.clip((integral(x + 0.5 * spread) - integral(x - 0.5 * spread)) / spread, 0, 1)


def cell_random(i: np.ndarray, j: np.ndarray, seed: np.ndarray | int = 0) -> np.ndarray:
    """A random number in [0, 1) for every integer cell; integer hash after B. Jenkins / T. Wang."""
    h = i.astype(np.int64).astype(np.uint32) * np.uint32(0x9E3779B1)
    h ^= j.astype(np.int64).astype(np.uint32) * np.uint32(0x85EBCA77)
    h ^= np.asarray(seed).astype(np.int64).astype(np.uint32) * np.uint32(0xC2B2AE3D)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x2C1B3C6D)
    h ^= h >> np.uint32(12)
    h *= np.uint32(0x297A2D39)
    h ^= h >> np.uint32(15)
    return h.astype(np.float32) * np.float32(2**-32)


def fade(footprint: np.ndarray, feature: np.ndarray | float) -> np.ndarray:
    """A factor that is 1 while a feature of that size is resolved and falls to 0 when the pixel is as wide as it."""
    return np.clip(1.6 - 1.6 * footprint / feature, 0, 1)


def noise(x: np.ndarray, y: np.ndarray, scale: float, footprint: np.ndarray, seed: int = 0) -> np.ndarray:
    """Smooth noise in [-1, 1] with features of about `scale`; periodic after 256 features."""
    table = _table()
    u, v = x / scale + 17.31 * seed, y / scale + 5.77 * seed
    i, j = np.floor(u), np.floor(v)
    a, b = (u - i).astype(np.float32), (v - j).astype(np.float32)
    a, b = a * a * (3 - 2 * a), b * b * (3 - 2 * b)
    i, j = i.astype(np.int32) & (TABLE - 1), j.astype(np.int32) & (TABLE - 1)
    flat, row, next_row = table.ravel(), j * TABLE, ((j + 1) & (TABLE - 1)) * TABLE
    next_i = (i + 1) & (TABLE - 1)
    low = flat[row + i] * (1 - a) + flat[row + next_i] * a
    high = flat[next_row + i] * (1 - a) + flat[next_row + next_i] * a
    return (low * (1 - b) + high * b) * fade(footprint, scale)


@functools.cache
def _table() -> np.ndarray:
    i, j = np.meshgrid(np.arange(TABLE), np.arange(TABLE))
    return (2 * cell_random(i, j, 7) - 1).astype(np.float32)


def fractal(
    x: np.ndarray, y: np.ndarray, scale: float, footprint: np.ndarray, octaves: int = 3, seed: int = 0
) -> np.ndarray:
    """Sum of noise octaves, each half as large and half as strong; in about [-1, 1]."""
    total = np.zeros(np.shape(x), np.float32)
    for octave in range(octaves):
        total += 0.55 * 0.5**octave * noise(x, y, scale * 0.5**octave, footprint, seed + octave)
    return total
