"""Albedo, gloss and bump of every material as functions of surface coordinates and pixel footprint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faithfusion.street.meshes import Material
from faithfusion.street.street_plan import StreetPlan
from faithfusion.street.textures import cell_random, fade, fractal, interval, noise, pulses


@dataclass(frozen=True)
class Samples:
    """n surface points of one material."""

    coords: np.ndarray  # [n, 3] texture coordinates
    footprint: np.ndarray  # [n, 3] pixel width in each coordinate
    color: np.ndarray  # [n, 3]
    accent: np.ndarray  # [n, 3]
    params: np.ndarray  # [n, 8]


@dataclass(frozen=True)
class Look:
    """Diffuse albedo [n, 3], mirror reflectance at normal incidence [n], offset of the normal [n, 3] or None."""

    albedo: np.ndarray
    gloss: np.ndarray
    bump: np.ndarray | None = None


def look_of(material: int, samples: Samples, plan: StreetPlan) -> Look:
    """The look of points of one material."""
    if material == Material.ASPHALT:
        return _asphalt(samples, plan)
    matte = {
        Material.PAVEMENT: _pavement, Material.WALL: _wall, Material.DOOR: _door, Material.WHEEL: _wheel,
        Material.BARK: _bark, Material.SIGN: _sign, Material.GRASS: _grass, Material.AWNING: _awning,
        Material.SHOP_SIGN: _shop_sign,
    }  # fmt: skip
    if material in matte:
        return Look(matte[Material(material)](samples), np.zeros(len(samples.coords), np.float32))
    special = {Material.GLASS: _window, Material.CAR: _car, Material.LEAF: _leaf, Material.CLOTH: _cloth}
    if material in special:
        return special[Material(material)](samples)
    return Look(samples.color, np.zeros(len(samples.coords), np.float32))


def _mix(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    return a + (b - a) * share[:, None]


def _uv(samples: Samples) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    u, v = samples.coords[:, 0], samples.coords[:, 1]
    fu, fv = samples.footprint[:, 0], samples.footprint[:, 1]
    return u, v, fu, fv, np.maximum(fu, fv)


def _asphalt(samples: Samples, plan: StreetPlan) -> Look:
    s, lateral, fs, fl, f = _uv(samples)
    grain = 0.16 * noise(s, lateral, 0.035, f, 1) + 0.1 * noise(s, lateral, 0.12, f, 2)
    grain += 0.13 * fractal(s, lateral, 2.3, f, 3, 3)
    wheel_track = np.cos(2 * np.pi * (lateral / 1.65 + 0.5))  # two darker tracks in each lane
    tone = 1 + grain + 0.05 * wheel_track
    crack = np.abs(noise(s, lateral * 0.6, 3.1, f, 11) + 0.3 * noise(s, lateral, 0.7, f, 12))
    tone -= 0.3 * np.clip(1 - crack / 0.02, 0, 1) * fade(f, 0.25)
    patch = cell_random(np.floor(s / 7.3), np.floor((lateral + 1.65) / 3.3), 21)
    inside = pulses(s, 7.3, 3.1, fs) * pulses(lateral + 1.65, 3.3, 2.2, fl)
    tone -= 0.2 * inside * (patch > 0.86)
    manhole = np.hypot((s + 4) % 31.0 - 15.5, lateral - 1.0)
    tone *= 1 - 0.45 * interval(manhole, -1.0, 0.32, f)
    albedo = samples.color * tone[:, None]
    wear = np.clip(0.86 + 0.3 * fractal(s, lateral, 0.4, f, 2, 8), 0, 1)
    paint = _paint_share(plan, s, lateral, fs, fl)
    albedo = _mix(albedo, samples.accent, paint * wear)
    return Look(np.maximum(albedo, 0.01), np.zeros(len(s), np.float32))


def _paint_share(plan: StreetPlan, s: np.ndarray, lateral: np.ndarray, fs: np.ndarray, fl: np.ndarray) -> np.ndarray:
    """Share of the pixel covered by road paint: lines, zebra crossings, arrows."""
    share = np.zeros(len(s), np.float32)
    for line in plan.markings:
        at = np.flatnonzero(np.abs(lateral - line.lateral_m) < 0.5 * (line.width_m + fl))
        half = 0.5 * line.width_m
        cover = interval(lateral[at], line.lateral_m - half, line.lateral_m + half, fl[at])
        if line.period_m > 0:
            cover *= pulses(s[at], line.period_m, line.dash_m, fs[at])
        for a, b in line.gaps:
            cover *= 1 - interval(s[at], a, b, fs[at])
        share[at] = np.maximum(share[at], cover)
    half = min(side.kerb_m for side in plan.sides) - 0.5
    for a, b in plan.crossings:
        bars = pulses(lateral - 0.25, 1.0, 0.5, fl) * interval(s, a, b, fs)
        share = np.maximum(share, bars * (np.abs(lateral) < half))
    for s_arrow, lateral_arrow in plan.arrows:
        along, across = s - s_arrow, np.abs(lateral - lateral_arrow)
        shaft = interval(along, 0.0, 3.2, fs) * interval(across, -1, 0.08, fl)
        head_width = np.clip(4.6 - along, 0, 1.4) * 0.32
        head = interval(along, 3.2, 4.6, fs) * interval(across, -head_width, head_width, fl)
        share = np.maximum(share, np.maximum(shaft, head))
    return share


def _pavement(samples: Samples) -> np.ndarray:
    s, lateral, fs, fl, f = _uv(samples)
    is_kerb = samples.params[:, 0] > 0.5
    size_s, size_l = np.where(is_kerb, 1.0, 0.6), np.where(is_kerb, 50.0, 0.6)
    row = np.floor(lateral / size_l)
    shifted = s + 0.5 * size_s * (row % 2)
    joint = np.maximum(pulses(shifted, size_s, 0.018, fs), pulses(lateral, size_l, 0.018, fl) * ~is_kerb)
    tone = 1 + 0.2 * (cell_random(np.floor(shifted / size_s), row, 3) - 0.5) * fade(f, 0.6)
    tone += 0.1 * noise(s, lateral, 0.05, f, 4) + 0.14 * fractal(s, lateral, 1.7, f, 3, 5)
    return samples.color * (tone * (1 - 0.5 * joint))[:, None]


def _wall(samples: Samples) -> np.ndarray:
    u, v, fu, fv, f = _uv(samples)
    style, seed = samples.params[:, 0], samples.params[:, 1]
    offset = 13.7 * seed
    dirt = 0.1 * fractal(u + offset, v, 2.9, f, 3, 6) + 0.05 * noise(u + offset, 0.25 * v, 0.5, f, 9)
    plaster = 1 + dirt + 0.06 * noise(u, v, 0.06, f, 10)
    row = np.floor(v / 0.075)
    bricks = u + 0.125 * (row % 2)
    brick_tone = plaster + 0.45 * (cell_random(np.floor(bricks / 0.25), row, 5) - 0.5) * fade(f, 0.1)
    mortar = np.maximum(pulses(v, 0.075, 0.012, fv), pulses(bricks, 0.25, 0.012, fu))
    course = np.floor(v / 0.42)
    blocks = u + 0.45 * (course % 2)
    stone_tone = plaster + 0.16 * (cell_random(np.floor(blocks / 0.9), course, 6) - 0.5) * fade(f, 0.45)
    seam = np.maximum(pulses(v, 0.42, 0.025, fv), pulses(blocks, 0.9, 0.02, fu))
    tone = np.where(style == 1, brick_tone, np.where(style == 2, stone_tone, plaster))
    joint = np.where(style == 1, 0.75 * mortar, np.where(style == 2, 0.8 * seam, 0.0))
    grime = 1 - 0.22 * np.clip(1 - v / 0.9, 0, 1)
    return _mix(samples.color * (tone * grime)[:, None], samples.accent, joint)


def _window(samples: Samples) -> Look:
    u, v, fu, fv, _ = _uv(samples)
    width, height, seed = samples.params[:, 0], samples.params[:, 1], samples.params[:, 2]
    pick = cell_random(seed, seed + 1)
    frame = 1 - interval(u, 0.07, width - 0.07, fu) * interval(v, 0.07, height - 0.07, fv)
    frame = np.maximum(frame, interval(u, width / 2 - 0.03, width / 2 + 0.03, fu) * (width < 2.2))
    frame = np.maximum(frame, interval(v, 0.68 * height - 0.025, 0.68 * height + 0.025, fv) * (pick > 0.5))
    curtain_color = np.stack([0.5 + 0.2 * pick, 0.48 + 0.15 * pick, 0.42 + 0.1 * pick], -1) * 0.55
    folds = 1 + 0.16 * noise(u, 0 * v, 0.06, fu, 4)
    edge = width * (0.12 + 0.22 * cell_random(seed, seed + 2))
    curtain = 1 - interval(u, edge, width - edge, fu)
    blind = interval(v, height * (0.25 + 0.75 * cell_random(seed, seed + 3)), 1e3, fv)
    has_curtain, has_blind = pick < 0.45, (pick >= 0.45) & (pick < 0.7)
    covered = np.where(has_curtain, curtain, np.where(has_blind, blind, 0.0))
    inside = samples.color * (0.6 + 0.9 * cell_random(seed, seed + 4))[:, None]
    albedo = _mix(inside, curtain_color * folds[:, None], 0.8 * covered)
    albedo = np.where((width > 2.0)[:, None], _display(samples, inside), albedo)
    albedo = _mix(albedo, samples.accent, frame)
    return Look(albedo, (0.1 * (1 - frame)).astype(np.float32))


def _display(samples: Samples, inside: np.ndarray) -> np.ndarray:
    """What stands in a shop window: rows of goods on shelves, dark above."""
    u, v, fu, fv, f = _uv(samples)
    seed = samples.params[:, 2]
    column, row = np.floor(u / 0.37), np.floor(v / 0.45)
    hue = np.stack([cell_random(column, row, seed + k) for k in range(3)], -1)
    present = (cell_random(column, row, seed + 3) > 0.35) & (v < 1.5)
    block = pulses(u, 0.37, 0.29, fu) * pulses(v, 0.45, 0.36, fv) * present
    mean = np.float32([0.15, 0.14, 0.13])
    tones = 0.5 * hue + 0.5 * hue.mean(-1, keepdims=True)
    goods = mean + (0.03 + 0.3 * tones**2 - mean) * fade(f, 0.4)[:, None]
    shelf = pulses(v + 0.05, 0.45, 0.05, fv) * (v < 1.6)
    return _mix(_mix(inside, goods, block), np.full_like(inside, 0.2), shelf)


def _door(samples: Samples) -> np.ndarray:
    u, v, fu, fv, _ = _uv(samples)
    panel = pulses(u - 0.15, 0.42, 0.34, fu) * pulses(v - 0.2, 0.72, 0.6, fv)
    handle = interval(u, 0.92, 1.02, fu) * interval(v, 1.0, 1.06, fv)
    albedo = samples.color * (1 - 0.25 * panel)[:, None]
    return _mix(albedo, np.full_like(albedo, 0.55), handle)


def _car(samples: Samples) -> Look:
    """Painted body with lamps, wheel arches, seams and grille (params: see cars), or cabin metal (-1), or glass (0)."""
    x, y, z = samples.coords.T
    fx, fy, fz = samples.footprint.T
    length, width, height, radius, rear, front, belt = samples.params.T[:7]
    detailed = length > 0
    side = detailed * (np.abs(y) > 0.36 * width)
    arch = np.minimum(np.hypot(x - rear, z - radius), np.hypot(x - front, z - radius))
    dark = side * interval(arch, -1, radius * 1.16, np.maximum(fx, fz))
    dark = np.maximum(dark, detailed * interval(z, -1.0, 0.29, fz))
    seams = sum(interval(x, at * length - 0.008, at * length + 0.008, fx) for at in (-0.235, -0.02, 0.17))
    shoulder = interval(z, 0.32, belt * height, fz)
    dark = np.maximum(dark, 0.75 * side * seams * shoulder)
    handles = sum(interval(x, at * length, at * length + 0.2, fx) for at in (-0.225, -0.005))
    handle = side * handles * interval(z, (belt - 0.1) * height, (belt - 0.1) * height + 0.035, fz)
    dark = np.maximum(dark, 0.6 * handle)
    at_front, at_rear = detailed * (x > 0.455 * length), detailed * (x < -0.472 * length)
    grille = at_front * interval(np.abs(y), -1, 0.24 * width, fy) * interval(z, 0.22 * height, 0.32 * height, fz)
    dark = np.maximum(dark, np.maximum(grille, at_rear * interval(z, 0.2, 0.27 * height, fz)))
    outer = interval(np.abs(y), 0.27 * width, width, fy)
    lamp_front = at_front * outer * interval(z, 0.385 * height, 0.47 * height, fz)
    lamp_rear = at_rear * outer * interval(z, 0.43 * height, 0.58 * height, fz)
    plate = interval(np.abs(y), -1, 0.26, fy) * np.maximum(
        at_front * interval(z, 0.235 * height, 0.235 * height + 0.11, fz),
        at_rear * interval(z, 0.4 * height, 0.4 * height + 0.11, fz),
    )
    albedo = _mix(samples.color, np.full_like(samples.color, 0.015), dark)
    albedo = _mix(albedo, np.full_like(albedo, 0.85), lamp_front)
    albedo = _mix(albedo, np.broadcast_to(np.float32([0.45, 0.012, 0.01]), albedo.shape), lamp_rear)
    albedo = _mix(albedo, np.broadcast_to(np.float32([0.75, 0.73, 0.6]), albedo.shape), plate)
    gloss = np.where(length == 0, 0.1, 0.05) * (1 - 0.8 * dark)
    return Look(albedo, gloss.astype(np.float32))


def _wheel(samples: Samples) -> np.ndarray:
    u, v, _, _, f = _uv(samples)
    radius = samples.params[:, 0]
    r = np.hypot(u, v)
    rim = interval(r, -1, 0.66 * radius, f)
    spokes = pulses(np.arctan2(v, u) + 7.0, 2 * np.pi / 5, 0.62, f / np.maximum(r, 0.02))
    open_ring = interval(r, 0.2 * radius, 0.58 * radius, f)
    metal = rim * (1 - open_ring * (1 - spokes))
    return _mix(samples.accent, samples.color, metal)


def _leaf(samples: Samples) -> Look:
    x, y, z = samples.coords.T
    f = samples.footprint.max(1)
    seed = samples.params[:, 0]
    planes = ((x + seed, y), (y + seed, z), (z + seed, x))  # three flat noises: none of their streaks shows
    fine = [noise(a, b, 0.11, f, 2 + k) + 0.6 * noise(a, b, 0.26, f, 5 + k) for k, (a, b) in enumerate(planes)]
    clumps = (fine[0] + fine[1] + fine[2]) / 1.5
    tone = np.clip(1 + 0.8 * clumps, 0.2, 2.2)
    warm = 0.2 * fine[0]
    albedo = samples.color * tone[:, None] * np.stack([1 + warm, np.ones_like(warm), 1 - warm], -1)
    bump = 0.9 * np.stack([fine[1], fine[2], fine[0]], -1)
    return Look(albedo, np.zeros(len(x), np.float32), bump)


def _cloth(samples: Samples) -> Look:
    """Woven cloth with folds. Params: pattern (0 plain, 1 hoops, 2 checks, 3 pinstripes), its size (m), a seed."""
    u, v, fu, fv, f = _uv(samples)
    kind, size, seed = samples.params[:, 0], np.maximum(samples.params[:, 1], 0.02), samples.params[:, 2]
    hoops, bars = pulses(v, size, 0.45 * size, fv), pulses(u, size, 0.45 * size, fu)
    pins = pulses(u, 0.5 * size, 0.1 * size, fu)
    share = np.where(kind == 1, hoops, np.where(kind == 2, 0.5 * (hoops + bars), np.where(kind == 3, 0.7 * pins, 0.0)))
    folds = noise(u + seed, 0.45 * v, 0.06, f, 3) + 0.5 * noise(u, v + seed, 0.025, f, 4)
    albedo = _mix(samples.color, samples.accent, share) * (1 + 0.16 * folds)[:, None]
    bump = 0.16 * np.stack([folds, noise(v + seed, u, 0.05, f, 5), np.zeros_like(folds)], -1)
    return Look(np.maximum(albedo, 0.008), np.zeros(len(u), np.float32), bump.astype(np.float32))


def _bark(samples: Samples) -> np.ndarray:
    u, v, _, _, f = _uv(samples)
    return samples.color * (1 + 0.5 * noise(u, 0.25 * v, 0.035, f, 1) + 0.2 * noise(u, v, 0.2, f, 2))[:, None]


def _grass(samples: Samples) -> np.ndarray:
    u, v, _, _, f = _uv(samples)
    return samples.color * (1 + 0.35 * fractal(u, v, 1.5, f, 3, 1))[:, None]


def _awning(samples: Samples) -> np.ndarray:
    u, _, fu, _, _ = _uv(samples)
    period = samples.params[:, 0]
    return _mix(samples.color, samples.accent, pulses(u, period, period / 2, fu))


def _shop_sign(samples: Samples) -> np.ndarray:
    """A band of blocks that read as letters."""
    u, v, fu, fv, f = _uv(samples)
    width, height, seed = samples.params[:, 0], samples.params[:, 1], samples.params[:, 2]
    pitch = 0.34
    letter = np.floor(u / pitch)
    inside = u - letter * pitch
    text = np.abs(u - 0.5 * width) < 0.32 * width
    text &= cell_random(letter, seed, 1) > 0.12
    upright = interval(inside, 0.05, 0.11, fu)
    kind = cell_random(letter, seed, 2)
    upright = np.maximum(upright, interval(inside, 0.2, 0.26, fu) * (kind > 0.4))
    bar_at = 0.12 + 0.2 * np.floor(3 * cell_random(letter, seed, 3)) / 2
    bar = interval(inside, 0.05, 0.26, fu) * interval(v, bar_at, bar_at + 0.06, fv)
    strokes = np.maximum(upright * interval(v, 0.11, height - 0.11, fv), bar)
    strokes = strokes * fade(f, 0.3) + 0.4 * (1 - fade(f, 0.3)) * interval(v, 0.11, height - 0.11, fv)
    return _mix(samples.color, samples.accent, strokes * text)


def _sign(samples: Samples) -> np.ndarray:
    """Road signs by their kind: 0 speed limit, 1 no stopping, 2 parking, 3 give way."""
    u, v, fu, fv, f = _uv(samples)
    kind, radius = samples.params[:, 0], samples.params[:, 1]
    r = np.hypot(u, v) / radius
    triangle = np.maximum(-v, 0.5 * v + 0.866 * np.abs(u)) / (0.5 * radius)
    white = np.broadcast_to(np.float32([0.8, 0.8, 0.8]), samples.color.shape)
    blue = np.broadcast_to(np.float32([0.02, 0.1, 0.45]), samples.color.shape)
    black = np.broadcast_to(np.float32([0.02, 0.02, 0.02]), samples.color.shape)
    fr = f / radius
    ring = 1 - interval(r, -1, 0.76, fr)
    digits = np.maximum(interval(np.abs(u), 0.05, 0.09, fu), interval(np.abs(u), 0.15, 0.19, fu))
    digits = digits * interval(np.abs(v), -1, 0.13, fv)
    limit = _mix(_mix(white, black, digits), samples.accent, ring)
    slash = interval(u + v, -0.05, 0.05, 1.4 * f)
    stop = _mix(blue, samples.accent, np.maximum(ring, slash))
    stem = interval(u, -0.09, -0.04, fu) * interval(v, -0.15, 0.15, fv)
    bow = interval(np.abs(np.hypot(u + 0.03, v - 0.06) - 0.075), -1, 0.022, f) * (u > -0.07)
    parking = _mix(blue, white, np.maximum(stem, bow))
    yield_way = _mix(white, samples.accent, 1 - interval(triangle, -9, 0.62, f / (0.5 * radius)))
    kind = kind[:, None]
    return np.where(kind == 0, limit, np.where(kind == 1, stop, np.where(kind == 2, parking, yield_way)))
