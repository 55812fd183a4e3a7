"""Slow twin of `faithfusion.eig.published`: float64, one directional derivative at a time, pixels in Python loops."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from reference.eig_bruteforce import directional_jacobian, node_poses, project_order, world_gaussians
from reference.raster import blend_reference, harmonic_colors, pinhole_jacobian, pixel_centres
from torch import Tensor

from faithfusion.render.constants import COVARIANCE_BLUR_PX2, MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE, TILE_SIZE_PX
from faithfusion.types import Camera, GaussianScene


def activated_parameters(scene: GaussianScene, time_index: int) -> Float[Tensor, "n d"]:
    """World means 3, unit quaternions 4, scales 3, opacity 1, harmonics 3 K."""
    world = world_gaussians(scene, node_poses(scene, time_index))
    unit = world.quats / world.quats.norm(dim=1, keepdim=True)
    opacities = world.opacity_logits.sigmoid()[:, None]
    return torch.cat([world.means, unit, world.log_scales.exp(), opacities, world.colors.flatten(1)], 1)


def splats_of_activated(
    theta: Float[Tensor, "n d"], order: Tensor, directions: Float[Tensor, "n 3"], camera: Camera
) -> dict[str, Tensor]:
    """Screen-space Gaussians front to back; the directions of the harmonics are given, they do not follow the means."""
    means, (w, x, y, z), scales = theta[order, :3], theta[order, 3:7].T, theta[order, 7:10]
    rows = [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)]
    rows += [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)]
    rows += [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]
    axes = torch.stack(rows, -1).reshape(-1, 3, 3)
    camera_from_world = torch.linalg.inv(camera.world_from_camera)
    points = means @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    to_screen = pinhole_jacobian(points, camera) @ camera_from_world[:3, :3]
    covariance = to_screen @ axes @ torch.diag_embed(scales**2) @ axes.mT @ to_screen.mT
    pixels = points @ camera.intrinsics.T
    return {
        "means": pixels[:, :2] / pixels[:, 2:],
        "precisions": torch.linalg.inv(covariance + COVARIANCE_BLUR_PX2 * torch.eye(2).to(covariance)),
        "depths": points[:, 2],
        "opacities": theta[order, 10],
        "colors": harmonic_colors(theta[order, 11:].unflatten(1, (-1, 3)), directions[order]),
    }


def activated_splats(scene: GaussianScene, camera: Camera, time_index: int) -> tuple[dict[str, Tensor], Tensor]:
    """Splats front to back and the Gaussian each of them is."""
    world = world_gaussians(scene, node_poses(scene, time_index))
    order = project_order(world, camera)
    directions = world.means - camera.world_from_camera[:3, 3]
    return splats_of_activated(activated_parameters(scene, time_index), order, directions, camera), order


def channel_sum_jacobian(scene: GaussianScene, camera: Camera, time_index: int) -> Float[Tensor, "h w n d"]:
    """d (red + green + blue over black) / d activated parameter."""
    world = world_gaussians(scene, node_poses(scene, time_index))
    order = project_order(world, camera)
    directions = world.means - camera.world_from_camera[:3, 3]
    pixels = pixel_centres(camera).double()

    def image(theta: Float[Tensor, "n d"]) -> Float[Tensor, "h w"]:
        splats = splats_of_activated(theta, order, directions, camera)
        color, _, _ = blend_reference(splats, pixels, torch.zeros(len(pixels), 3, dtype=torch.float64))
        return color.sum(-1).reshape(camera.height, camera.width)

    return directional_jacobian(image, activated_parameters(scene, time_index))


def hits_and_weights(
    scene: GaussianScene, camera: Camera, time_index: int
) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w n"], Float[Tensor, "h w"]]:
    """Per pixel: place of the last blended Gaussian in its tile's list (0: none), blending weights, sum of w z."""
    splats, order = activated_splats(scene, camera, time_index)
    boxes = [pixel_box(splats, i) for i in range(len(order))]
    hits = torch.zeros(camera.height, camera.width, dtype=torch.float64)
    weights = torch.zeros(camera.height, camera.width, len(order), dtype=torch.float64)
    depth_sum = torch.zeros_like(hits)
    for v in range(camera.height):
        for u in range(camera.width):
            place, transmittance = 0, 1.0
            for i in range(len(order)):
                if not touches_tile(boxes[i], u // TILE_SIZE_PX, v // TILE_SIZE_PX, camera):
                    continue
                place += 1
                offset = torch.tensor([u + 0.5, v + 0.5], dtype=torch.float64) - splats["means"][i]
                falloff = math.exp(-0.5 * float(offset @ splats["precisions"][i] @ offset))
                alpha = min(MAX_ALPHA, float(splats["opacities"][i]) * falloff)
                if alpha < MIN_ALPHA:
                    continue
                if transmittance * (1.0 - alpha) <= MIN_TRANSMITTANCE:
                    break
                weights[v, u, order[i]] = alpha * transmittance
                depth_sum[v, u] += alpha * transmittance * splats["depths"][i]
                transmittance *= 1.0 - alpha
                hits[v, u] = place
    return hits, weights, depth_sum


def pixel_box(splats: dict[str, Tensor], i: int) -> list[tuple[float, float]]:
    """Range of x and of y in which alpha can reach MIN_ALPHA; empty if it never does."""
    opacity = float(splats["opacities"][i])
    if opacity < MIN_ALPHA:
        return [(math.inf, -math.inf)] * 2
    variances = torch.linalg.inv(splats["precisions"][i]).diagonal()
    half = (2.0 * math.log(opacity / MIN_ALPHA) * variances).sqrt()
    return [(float(m - h), float(m + h)) for m, h in zip(splats["means"][i], half, strict=True)]


def touches_tile(box: list[tuple[float, float]], column: int, row: int, camera: Camera) -> bool:
    """Whether a pixel centre of the tile lies in the box."""
    for (low, high), tile, size in zip(box, (column, row), (camera.width, camera.height), strict=True):
        pixels = range(tile * TILE_SIZE_PX, min((tile + 1) * TILE_SIZE_PX, size))
        if not any(low <= p + 0.5 <= high for p in pixels):
            return False
    return True


def training_squares(
    scene: GaussianScene, camera: Camera, time_index: int, counted: Float[Tensor, "h w"]
) -> Float[Tensor, "n d"]:
    """H of one training view: squares of gradients that were divided by hits."""
    hits, _, _ = hits_and_weights(scene, camera, time_index)
    upstream = counted / hits.clamp_min(1e-6)
    jacobian = channel_sum_jacobian(scene, camera, time_index)
    return (upstream[..., None, None] * jacobian).square().sum((0, 1))


def gain_maps(
    scene: GaussianScene, training: Float[Tensor, "n d"], camera: Camera, time_index: int
) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    """The released code's map and the paper's, from H of the training views."""
    view = channel_sum_jacobian(scene, camera, time_index).square().sum((0, 1))
    hits, weights, depth_sum = hits_and_weights(scene, camera, time_index)
    ratio_of_sums = view.sum(1) / (training.sum(1) + 1e-6)
    sum_of_ratios = (view / (training + 1e-6)).sum(1)
    code = torch.empty_like(hits)
    for v in range(camera.height):
        for u in range(camera.width):
            if depth_sum[v, u] < 0.1:
                code[v, u] = 100.0
            else:
                code[v, u] = math.log(1.0 + float(weights[v, u] @ ratio_of_sums) / hits[v, u] / 1000.0) + 1e-9
    return code, weights @ sum_of_ratios / hits.clamp_min(1e-6)
