"""Triangles with texture coordinates, and the simple solids that streets are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

Color = tuple[float, float, float]
Numbers = Sequence[float] | np.ndarray


class Material(IntEnum):
    """Which texture function of `materials` colours a surface."""

    PLAIN = 0
    ASPHALT = 1
    PAVEMENT = 2
    WALL = 3
    GLASS = 4
    DOOR = 5
    CAR = 6
    WHEEL = 7
    LEAF = 8
    BARK = 9
    SIGN = 10
    GRASS = 11
    AWNING = 12
    SHOP_SIGN = 13
    CLOTH = 14


@dataclass(frozen=True)
class Surface:
    """What the triangles of a patch are made of. `color`, `accent` are linear albedos; `params` depend on the material.
    `instance` is 0 for the static world, else 1 + the number of a car or a person."""

    material: Material
    color: Color = (0.5, 0.5, 0.5)
    accent: Color = (0.1, 0.1, 0.1)
    params: tuple[float, ...] = ()
    instance: int = 0


@dataclass(frozen=True)
class Patch:
    """F triangles of one surface: corners, unit normals and texture coordinates (metres), each [F, 3, 3] float32."""

    corners: np.ndarray
    normals: np.ndarray
    coords: np.ndarray
    surface: Surface

    def moved(self, world_from_patch: np.ndarray, instance: int | None = None) -> Patch:
        """The patch under a rigid 4x4 transform; texture coordinates travel with it."""
        rotation = world_from_patch[:3, :3]
        surface = self.surface
        if instance is not None:
            surface = Surface(surface.material, surface.color, surface.accent, surface.params, instance)
        corners = self.corners @ rotation.T + world_from_patch[:3, 3]
        return Patch(corners.astype(np.float32), (self.normals @ rotation.T).astype(np.float32), self.coords, surface)


NUM_PARAMS = 8


@dataclass(frozen=True)
class Mesh:
    """All patches of a scene, flat. `surface_ids` [F] index the tables [S, ...]."""

    corners: np.ndarray  # [F, 3, 3]
    normals: np.ndarray  # [F, 3, 3]
    coords: np.ndarray  # [F, 3, 3]
    gradients: np.ndarray  # [F, 3, 3]: row k is d coords_k / d world within the triangle's plane
    surface_ids: np.ndarray  # [F]
    materials: np.ndarray = field(repr=False)  # [S]
    colors: np.ndarray = field(repr=False)  # [S, 3]
    accents: np.ndarray = field(repr=False)  # [S, 3]
    params: np.ndarray = field(repr=False)  # [S, NUM_PARAMS]
    instances: np.ndarray = field(repr=False)  # [S]


def merge(patches: Sequence[Patch]) -> Mesh:
    """Concatenates patches and works out the gradients of their texture coordinates."""
    counts = [len(patch.corners) for patch in patches]
    corners = np.concatenate([patch.corners for patch in patches]).astype(np.float32)
    coords = np.concatenate([patch.coords for patch in patches]).astype(np.float32)
    surfaces = [patch.surface for patch in patches]
    params = np.zeros((len(surfaces), NUM_PARAMS), np.float32)
    for row, surface in zip(params, surfaces, strict=True):
        row[: len(surface.params)] = surface.params
    return Mesh(
        corners=corners,
        normals=np.concatenate([patch.normals for patch in patches]).astype(np.float32),
        coords=coords,
        gradients=_coord_gradients(corners, coords),
        surface_ids=np.repeat(np.arange(len(patches)), counts).astype(np.int32),
        materials=np.array([surface.material for surface in surfaces], np.int32),
        colors=np.array([surface.color for surface in surfaces], np.float32),
        accents=np.array([surface.accent for surface in surfaces], np.float32),
        params=params,
        instances=np.array([surface.instance for surface in surfaces], np.int32),
    )


def join(first: Mesh, second: Mesh) -> Mesh:
    """Two meshes as one; cheaper than merging their patches again."""
    flat = ("corners", "normals", "coords", "gradients", "materials", "colors", "accents", "params", "instances")
    ids = np.concatenate([first.surface_ids, second.surface_ids + len(first.materials)]).astype(np.int32)
    return Mesh(
        surface_ids=ids, **{name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in flat}
    )


def _coord_gradients(corners: np.ndarray, coords: np.ndarray) -> np.ndarray:
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    delta1, delta2 = coords[:, 1] - coords[:, 0], coords[:, 2] - coords[:, 0]
    g11, g12, g22 = (edge1 * edge1).sum(-1), (edge1 * edge2).sum(-1), (edge2 * edge2).sum(-1)
    determinant = np.maximum(g11 * g22 - g12 * g12, 1e-12)
    dual1 = (g22[:, None] * edge1 - g12[:, None] * edge2) / determinant[:, None]
    dual2 = (g11[:, None] * edge2 - g12[:, None] * edge1) / determinant[:, None]
    return (delta1[:, :, None] * dual1[:, None, :] + delta2[:, :, None] * dual2[:, None, :]).astype(np.float32)


def grid_patch(
    points: np.ndarray, coords: np.ndarray, surface: Surface, *, smooth: bool = False, keep: np.ndarray | None = None
) -> Patch:
    """A sheet from a grid of points [A, B, 3] with texture coordinates [A, B, 3]; the normal is d_a x d_b.

    `keep` [A-1, B-1] bool selects cells. `smooth` shades with normals averaged over the neighbouring cells.
    """

    def cells(values: np.ndarray) -> np.ndarray:
        a, b, c, d = values[:-1, :-1], values[1:, :-1], values[1:, 1:], values[:-1, 1:]
        return np.stack([np.stack([a, b, c], -2), np.stack([a, c, d], -2)], 2)  # [A-1, B-1, 2, 3, 3]

    corners = cells(points)
    if smooth:
        normals = cells(_grid_normals(points))
    else:
        flat = _unit(np.cross(corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]))
        normals = np.broadcast_to(flat[..., None, :], corners.shape)
    chosen = np.ones(corners.shape[:2], bool) if keep is None else keep
    flat_list = (array[chosen].reshape(-1, 3, 3).astype(np.float32) for array in (corners, normals, cells(coords)))
    return Patch(*flat_list, surface)


def _grid_normals(points: np.ndarray) -> np.ndarray:
    along_a = np.gradient(points, axis=0)
    along_b = np.gradient(points, axis=1)
    if np.allclose(points[:, 0], points[:, -1]):  # closed in b: the seam must not show
        along_b[:, [0, -1]] = (0.5 * (points[:, 1] - points[:, -2]))[:, None]
    return _unit(np.cross(along_a, along_b))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def quad(
    origin: Numbers, side_u: Numbers, side_v: Numbers, surface: Surface, *, uv_origin: tuple[float, float] = (0.0, 0.0)
) -> Patch:
    """A rectangle; texture coordinates are metres along its two sides, the normal is side_u x side_v."""
    return quads(*(np.asarray(v, np.float64)[None] for v in (origin, side_u, side_v)), surface, uv_origin)


_TWO_TRIANGLES = np.array([[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1], [0, 1]]], np.float64)  # [2, 3 corners, (u, v)]


def quads(
    origins: np.ndarray,
    sides_u: np.ndarray,
    sides_v: np.ndarray,
    surface: Surface,
    uv_origin: tuple[float, float] = (0.0, 0.0),
) -> Patch:
    """Q rectangles as `quad` makes one: corners and sides are [Q, 3] each."""
    u, v = _TWO_TRIANGLES[..., 0, None], _TWO_TRIANGLES[..., 1, None]
    corners = origins[:, None, None] + u * sides_u[:, None, None] + v * sides_v[:, None, None]  # [Q, 2, 3, 3]
    normals = np.empty_like(corners)
    normals[:] = _unit(np.cross(sides_u, sides_v))[:, None, None]
    lengths = np.stack([np.sqrt((sides_u**2).sum(-1)), np.sqrt((sides_v**2).sum(-1))], -1)
    coords = np.zeros_like(corners)
    coords[..., :2] = np.asarray(uv_origin) + _TWO_TRIANGLES * lengths[:, None, None]
    return Patch(*(array.reshape(-1, 3, 3).astype(np.float32) for array in (corners, normals, coords)), surface)


def box(centre: Numbers, half: Numbers, axes: np.ndarray, surface: Surface) -> list[Patch]:
    """A cuboid with unit `axes` [3, 3] (rows) and half extents along them; outward normals."""
    arms = np.asarray(half, float)[:, None] * axes  # [3, 3]
    first, second = arms[[1, 2, 0]], arms[[2, 0, 1]]
    origins = np.asarray(centre, float) + np.concatenate([arms, -arms]) - np.tile(first + second, (2, 1))
    sides_u, sides_v = 2 * np.concatenate([first, second]), 2 * np.concatenate([second, first])
    return [quads(origins, sides_u, sides_v, surface)]


def tube(path: np.ndarray, radii: Numbers, surface: Surface, *, sides: int = 10) -> Patch:
    """A round tube along `path` [A, 3] with one radius per point; coordinates are (arc, distance, 0) in metres."""
    path, radii = np.asarray(path, float), np.asarray(radii, float)
    along = _unit(np.gradient(path, axis=0))
    helper = np.where(np.abs(along[:, 2:3]) > 0.9, [[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]])
    side = _unit(np.cross(helper, along))
    other = np.cross(along, side)
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    ring = np.cos(angle)[None, :, None] * side[:, None] + np.sin(angle)[None, :, None] * other[:, None]
    points = path[:, None] + ring * radii[:, None, None]
    distance = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    coords = np.zeros_like(points)
    coords[..., 0] = angle * radii.mean()
    coords[..., 1] = distance[:, None]
    return grid_patch(points, coords, surface, smooth=True)
