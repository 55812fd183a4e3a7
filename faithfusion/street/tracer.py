"""Ray tracing on the CPU: Embree finds the hits, numpy shades them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faithfusion.street.materials import Samples, look_of
from faithfusion.street.meshes import Mesh, join
from faithfusion.street.rig import View
from faithfusion.street.sky_radiance import GROUND_BOUNCE, SUN_COLOR, sky_radiance, tone_map
from faithfusion.street.street_plan import StreetPlan

MAX_DEPTH_M = 500.0
SURFACE_OFFSET_M = 4e-3  # start of secondary rays above the surface, beyond float32 error
LENS_BLUR_PX = 0.45  # standard deviation
SUN_RADIUS = 0.012  # tangent of the half angle; soft shadow edges
AMBIENT_RAYS = 2  # per sample
AMBIENT_REACH_M = 9.0
AMBIENT_STRENGTH = 0.85


@dataclass(frozen=True)
class Hits:
    """First hits of n rays. `face` is -1 and `distance` 0 where nothing was hit."""

    face: np.ndarray  # [n] int
    distance: np.ndarray  # [n] in units of the ray direction
    bary: np.ndarray  # [n, 2]


@dataclass(frozen=True)
class Picture:
    """One view: display colour; camera z in metres (0 = sky) and instance ids (0 = static) at pixel centres."""

    color: np.ndarray  # [H, W, 3] float32
    depth: np.ndarray  # [H, W] float32
    instance_ids: np.ndarray  # [H, W] uint16


class TracedScene:
    """A mesh in Embree's hierarchy, together with a scene that was built before and shall stay as it is.

    To build a hierarchy takes far longer than to ask it. So what stands in every frame is built once, and what moves
    is given to each frame's scene as `mesh`, whose triangles are numbered after those of `standing`.
    """

    def __init__(self, mesh: Mesh, standing: TracedScene | None = None) -> None:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        embree = EmbreeScene()
        TriangleMesh(embree, _f32(mesh.corners))
        self.mesh = join(standing.mesh, mesh) if standing else mesh
        flat_normals = _unit(np.cross(mesh.corners[:, 1] - mesh.corners[:, 0], mesh.corners[:, 2] - mesh.corners[:, 0]))
        self.flat_normals = np.concatenate([standing.flat_normals, flat_normals]) if standing else flat_normals
        first_face = len(standing.mesh.corners) if standing else 0
        self._parts = [*(standing._parts if standing else ()), (first_face, embree)]

    def first_hits(self, origins: np.ndarray, directions: np.ndarray) -> Hits:
        """Nearest hit of every ray, within MAX_DEPTH_M direction lengths."""
        origins, directions = _f32(origins), _f32(directions)
        face, bary = np.full(len(origins), -1, np.int64), np.zeros((len(origins), 2), np.float32)
        reach = np.full(len(origins), MAX_DEPTH_M, np.float32)
        for first_face, embree in self._parts:
            out = embree.run(origins, directions, dists=reach, output=True)
            is_hit = out["geomID"] >= 0
            face[is_hit] = first_face + out["primID"][is_hit]
            reach[is_hit] = out["tfar"][is_hit]
            bary[is_hit] = np.stack([out["u"], out["v"]], -1)[is_hit]
        return Hits(face, np.where(face < 0, np.float32(0), reach), bary)

    def is_free(self, origins: np.ndarray, directions: np.ndarray, reach_m: float) -> np.ndarray:
        """Whether nothing lies on the rays within `reach_m` direction lengths, [n] bool."""
        origins, directions = _f32(origins), _f32(directions)
        reach = np.full(len(origins), reach_m, np.float32)
        answers = [embree.run(origins, directions, dists=reach, query="OCCLUDED") for _, embree in self._parts]
        return np.all(np.stack(answers) != 0, axis=0)


def _f32(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.float32)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Products [n] of vectors [n, 3]: numpy sums an axis as short as this far more slowly."""
    return a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1] + a[:, 2] * b[:, 2]


def _unit(vectors: np.ndarray, least: float = 1e-12) -> np.ndarray:
    """Vectors [n, 3] over their lengths, or over `least` if that is more."""
    return vectors / np.maximum(np.sqrt(_dot(vectors, vectors)), least)[:, None]


def sample_offsets(count: int) -> np.ndarray:
    """Stratified positions [count, 2] in the unit pixel, the same for every pixel and frame (no noise to shimmer).

    One sample per row and column (Hammersley set), so that edges of any slope are smoothed.
    """
    index = np.arange(count)
    reverse, base, rest = np.zeros(count), 0.5, index.copy()
    while rest.any():
        reverse += base * (rest % 2)
        rest, base = rest // 2, base / 2
    return np.stack([(index + 0.5) / count, reverse + 0.5 / count], -1)


def reconstruct(samples: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Image [H, W, 3] from samples [H, W, K, 3] at `offsets` [K, 2] in their pixels: a Gaussian over 3x3 pixels.

    It stands for the lens's blur and more than doubles the samples that share in a pixel, against crawling edges.
    """
    height, width = samples.shape[:2]
    padded = np.pad(samples, [(1, 1), (1, 1), (0, 0), (0, 0)], mode="edge")
    total, weights = np.zeros((height, width, samples.shape[-1]), np.float32), 0.0
    for row in range(3):
        for column in range(3):
            for k, (x, y) in enumerate(offsets):
                squared = (column - 1.5 + x) ** 2 + (row - 1.5 + y) ** 2
                weight = np.exp(-0.5 * squared / LENS_BLUR_PX**2)
                total += np.float32(weight) * padded[row : row + height, column : column + width, k]
                weights += weight
    return total / np.float32(weights)


def pixel_rays(view: View, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Origins and directions [H * W * K, 3], pixel-major; directions have camera z = 1, so distance is depth."""
    u, v = np.meshgrid(np.arange(view.width), np.arange(view.height))
    at = np.stack([u, v], -1)[..., None, :] + offsets  # [H, W, K, 2]
    focal, centre = view.intrinsics[[0, 1], [0, 1]], view.intrinsics[:2, 2]
    flat = ((at - centre) / focal).reshape(-1, 2)
    in_camera = np.concatenate([flat, np.ones((len(flat), 1))], -1)
    directions = _f32(in_camera @ view.world_from_camera[:3, :3].T)
    return np.broadcast_to(_f32(view.world_from_camera[:3, 3]), directions.shape), directions


def render_view(scene: TracedScene, plan: StreetPlan, view: View, samples_per_pixel: int) -> Picture:
    """Renders one view; colour from all samples, depth and instances from the ray through the pixel's centre."""
    origins, directions = pixel_rays(view, sample_offsets(samples_per_pixel))
    radiance = shade(scene, plan, origins, directions, 1.0 / view.intrinsics[0, 0], samples_per_pixel)
    # tone mapping before averaging keeps bright edges smooth
    display = tone_map(radiance).reshape(view.height, view.width, samples_per_pixel, 3)
    color = reconstruct(display, sample_offsets(samples_per_pixel))
    centre = scene.first_hits(*pixel_rays(view, np.array([[0.5, 0.5]])))
    ids = np.where(centre.face >= 0, scene.mesh.instances[scene.mesh.surface_ids[centre.face]], 0)
    shape = (view.height, view.width)
    return Picture(color, centre.distance.reshape(shape), ids.astype(np.uint16).reshape(shape))


def shade(
    scene: TracedScene, plan: StreetPlan, origins: np.ndarray, directions: np.ndarray, pixel_width: float, strata: int
) -> np.ndarray:
    """Radiance [n, 3] along rays; ray i belongs to stratum i % strata."""
    unit = _unit(directions)
    radiance = np.empty_like(directions)
    hits = scene.first_hits(origins, directions)
    sky = hits.face < 0
    radiance[sky] = sky_radiance(unit[sky], plan.light)
    hit = np.flatnonzero(~sky)
    if len(hit):
        chosen = Hits(hits.face[hit], hits.distance[hit], hits.bary.take(hit, 0))
        origins, directions, unit = (rays.take(hit, 0) for rays in (origins, directions, unit))
        radiance[hit] = _shade_hits(scene, plan, chosen, origins, directions, unit, pixel_width, hit % strata, strata)
    return radiance


def _shade_hits(
    scene: TracedScene, plan: StreetPlan, hits: Hits, origins: np.ndarray, directions: np.ndarray, unit: np.ndarray,
    pixel_width: float, stratum: np.ndarray, strata: int,
) -> np.ndarray:  # fmt: skip
    mesh, light = scene.mesh, plan.light
    geometric = scene.flat_normals.take(hits.face, 0)
    geometric *= -np.sign(_dot(geometric, unit) + 1e-9)[:, None]
    normals = _interpolate(mesh.normals.take(hits.face, 0), hits.bary)
    normals *= np.sign(_dot(normals, geometric) + 1e-9)[:, None]
    footprint = _footprint(mesh.gradients.take(hits.face, 0), geometric, unit, hits.distance * pixel_width)
    albedo, gloss, bump = _looks(mesh, plan, hits, footprint)
    normals = _unit(normals + bump, 1e-6)
    starts = origins + hits.distance[:, None] * directions + SURFACE_OFFSET_M * geometric
    sun = _sun_share(scene, starts, geometric, normals, light.to_sun, stratum, strata)
    ambient = _ambient(scene, starts, geometric, normals, light, stratum, strata)
    diffuse = albedo * (light.sun_strength * sun[:, None] * SUN_COLOR + ambient)
    return diffuse + _reflection(unit, normals, gloss, sun, plan)


def _interpolate(values: np.ndarray, bary: np.ndarray) -> np.ndarray:
    u, v = bary[:, :1], bary[:, 1:]
    return values[:, 0] * (1 - u - v) + values[:, 1] * u + values[:, 2] * v


def _footprint(gradients: np.ndarray, normals: np.ndarray, unit: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Width of the pixel's elliptic footprint in each texture coordinate [n, 3]; `across` = minor axis, metres."""
    cosine = np.abs(_dot(normals, unit))[:, None]
    along = _unit(unit + normals * cosine, 1e-6)
    side = np.cross(normals, along)
    minor = np.einsum("nkd,nd->nk", gradients, side)
    major = np.einsum("nkd,nd->nk", gradients, along) / np.maximum(cosine, 0.01)
    return across[:, None] * np.sqrt(minor * minor + major * major)


def _looks(
    mesh: Mesh, plan: StreetPlan, hits: Hits, footprint: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = len(hits.face)
    albedo, bump = np.empty((count, 3), np.float32), np.zeros((count, 3), np.float32)
    gloss = np.empty(count, np.float32)
    surface = mesh.surface_ids[hits.face]
    material = mesh.materials[surface]
    coords = _interpolate(mesh.coords.take(hits.face, 0), hits.bary)
    for kind in np.unique(material):
        at = np.flatnonzero(material == kind)
        of = surface[at]
        by_surface = (table.take(of, 0) for table in (mesh.colors, mesh.accents, mesh.params))
        look = look_of(int(kind), Samples(coords.take(at, 0), footprint.take(at, 0), *by_surface), plan)
        albedo[at], gloss[at] = look.albedo, look.gloss
        if look.bump is not None:
            bump[at] = look.bump
    return albedo, gloss, bump


def _sun_share(
    scene: TracedScene, starts: np.ndarray, geometric: np.ndarray, normals: np.ndarray, to_sun: np.ndarray,
    stratum: np.ndarray, strata: int,
) -> np.ndarray:  # fmt: skip
    """Cosine times visibility of the sun; each stratum looks at another point of the sun's disc."""
    side = np.cross(to_sun, [0.0, 0.0, 1.0])
    side /= np.linalg.norm(side)
    angle = 2 * np.pi * (np.arange(strata) + 0.25) / strata
    disc = SUN_RADIUS * np.sqrt((np.arange(strata) + 0.5) / strata)
    targets = to_sun + disc[:, None] * (np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * np.cross(side, to_sun))
    cosine = np.clip(normals @ to_sun, 0, 1)
    facing = np.flatnonzero((cosine > 0) & (geometric @ to_sun > 0))
    share = np.zeros(len(starts), np.float32)
    free = scene.is_free(starts.take(facing, 0), targets.take(stratum[facing], 0), MAX_DEPTH_M)
    share[facing] = cosine[facing] * free
    return share


def ambient_directions(strata: int) -> np.ndarray:
    """Directions [strata, AMBIENT_RAYS, 3] spread evenly over the upper hemisphere (spherical Fibonacci points)."""
    count = strata * AMBIENT_RAYS
    index = np.arange(count) + 0.5
    z = 0.06 + 0.94 * (index / count)
    angle = np.pi * (1 + 5**0.5) * index
    r = np.sqrt(1 - z * z)
    points = np.stack([r * np.cos(angle), r * np.sin(angle), z], -1)
    return points.reshape(AMBIENT_RAYS, strata, 3).transpose(1, 0, 2).astype(np.float32)


def _ambient(
    scene: TracedScene, starts: np.ndarray, geometric: np.ndarray, normals: np.ndarray, light: object,
    stratum: np.ndarray, strata: int,
) -> np.ndarray:  # fmt: skip
    """Sky light through a few fixed directions per stratum, plus light from the ground."""
    directions = ambient_directions(strata)
    colors = sky_radiance(directions.reshape(-1, 3), light, with_clouds=False).reshape(directions.shape)
    grey = colors.mean(-1, keepdims=True)
    colors = 0.35 * colors + 0.3 * colors.mean((0, 1)) + 0.35 * grey  # light from opposite walls is less blue
    total = np.zeros_like(starts)
    for ray in range(AMBIENT_RAYS):
        towards = directions[:, ray].take(stratum, 0)
        cosine = np.clip(_dot(normals, towards), 0, 1)
        chosen = np.flatnonzero((cosine > 0) & (_dot(geometric, towards) > 0.01))
        free = scene.is_free(starts.take(chosen, 0), towards.take(chosen, 0), AMBIENT_REACH_M)
        weight = np.zeros(len(starts), np.float32)
        weight[chosen] = cosine[chosen] * (0.12 + 0.88 * free)
        total += weight[:, None] * colors[:, ray].take(stratum, 0)
    bounce = GROUND_BOUNCE * (0.75 - 0.25 * normals[:, 2:3])
    return AMBIENT_STRENGTH * 2 / AMBIENT_RAYS * total + bounce


def _reflection(
    unit: np.ndarray, normals: np.ndarray, gloss: np.ndarray, sun: np.ndarray, plan: StreetPlan
) -> np.ndarray:
    """Mirror image of sky and street on glossy points (Schlick's Fresnel term), with a highlight of the sun."""
    out = np.zeros_like(unit)
    at = np.flatnonzero(gloss > 1e-3)
    view, normal, base = unit.take(at, 0), normals.take(at, 0), gloss[at]
    cosine = np.clip(-_dot(view, normal), 0, 1)
    mirrored = view + 2 * cosine[:, None] * normal
    fresnel = base + (np.where(base > 0.03, 0.75, 0.15) - base) * (1 - cosine) ** 5
    street = np.float32([0.16, 0.155, 0.15])
    sky_part = np.clip((mirrored[:, 2] - 0.08) / 0.4, 0, 1)[:, None]
    image = street + (sky_radiance(mirrored, plan.light) - street) * sky_part
    glint = np.clip(mirrored @ plan.light.to_sun, 0, 1) ** 220 * (sun[at] > 0) * np.where(base > 0.03, 40.0, 0.0)
    out[at] = fresnel[:, None] * (image + glint[:, None] * plan.light.sun_strength * SUN_COLOR)
    return out
