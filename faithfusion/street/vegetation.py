"""Trees and hedges: a trunk, boughs, and a crown of many bumpy leaf clumps."""

from __future__ import annotations

import functools

import numpy as np

from faithfusion.street.meshes import Material, Patch, Surface, tube

LEAF_COLORS = ((0.10, 0.19, 0.035), (0.14, 0.22, 0.05), (0.075, 0.15, 0.04), (0.19, 0.21, 0.05), (0.24, 0.17, 0.04))


@functools.cache
def _unit_sphere(subdivisions: int) -> tuple[np.ndarray, np.ndarray]:
    import trimesh

    sphere = trimesh.creation.icosphere(subdivisions=subdivisions)
    return np.asarray(sphere.vertices), np.asarray(sphere.faces)


def blob(
    rng: np.random.Generator, centre: np.ndarray, radii: np.ndarray, surface: Surface, *, subdivisions: int = 2,
    bumpiness: float = 0.18,
) -> Patch:  # fmt: skip
    """An ellipsoid pushed in and out by a few random waves; coordinates are metres from its centre."""
    directions, faces = _unit_sphere(subdivisions)
    waves = rng.normal(0, 2.6, (5, 3))
    swell = sum(np.sin(directions @ wave + phase) for wave, phase in zip(waves, rng.uniform(0, 6.3, 5), strict=True))
    offsets = directions * radii * (1 + bumpiness * swell / 2)[:, None]
    normals = directions / radii
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    corners = (centre + offsets)[faces].astype(np.float32)
    return Patch(corners, normals[faces].astype(np.float32), corners - corners.mean((0, 1)), surface)


def tree(rng: np.random.Generator, foot: np.ndarray, height: float) -> list[Patch]:
    """A street tree of `height` metres standing at `foot`."""
    bark = Surface(Material.BARK, (0.16, 0.12, 0.085))
    crown_base, crown_radius = 0.36 * height, height * rng.uniform(0.22, 0.28)
    lean = np.append(rng.normal(0, 0.03, 2), 1.0)
    path = foot + np.linspace(0, 0.62 * height, 7)[:, None] * lean + np.append(rng.normal(0, 0.03, 2), 0)
    path[0] = foot
    radius = 0.022 * height
    patches = [tube(path, radius * np.array([1.5, 1.1, 1.0, 0.95, 0.8, 0.65, 0.5]), bark)]
    middle = foot + lean * (crown_base + 0.42 * (height - crown_base))
    for _ in range(5):
        tip = middle + rng.normal(0, 0.45, 3) * crown_radius
        fork = path[int(rng.integers(3, 6))]
        patches.append(tube(np.stack([fork, 0.5 * (fork + tip) + [0, 0, 0.2], tip]), (0.07, 0.05, 0.02), bark, sides=6))
    color = np.array(LEAF_COLORS[rng.integers(len(LEAF_COLORS))])
    half_height = 0.5 * (height - crown_base)
    stretch = np.array([crown_radius, crown_radius, half_height])
    for count, reach, size in ((9, 0.55, 0.5), (70, 0.95, 0.2)):
        for _ in range(count):
            direction = rng.normal(0, 1, 3)
            direction /= np.linalg.norm(direction)
            distance = reach * rng.uniform(0.75, 1.0) if count > 20 else reach * rng.uniform(0, 1) ** (1 / 3)
            centre = middle + direction * stretch * distance
            tone = color * rng.uniform(0.8, 1.2) * (0.85 + 0.2 * direction[2])
            leaf = Surface(Material.LEAF, tuple(tone), params=(float(rng.integers(1000)),))
            radii = crown_radius * size * rng.uniform(0.75, 1.3, 3)
            patches.append(blob(rng, centre, radii, leaf, subdivisions=2 if count < 20 else 1, bumpiness=0.3))
    return patches
