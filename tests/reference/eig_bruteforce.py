"""Slow twin of `faithfusion.eig`: whole Jacobians of the reference renderer in float64, by directional derivatives, and
dense linear algebra. Shares no formula with the package."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float
from reference.raster import blend_reference, pixel_centres, project_reference, render_reference
from scipy.spatial.transform import Rotation
from torch import Tensor

from faithfusion.types import Camera, Gaussians, GaussianScene, Projection


def color_jacobian(
    scene: GaussianScene, camera: Camera, time_index: int, background: Float[Tensor, "h w 3"]
) -> Float[Tensor, "h w 3 n d"]:
    """d pixel colour / d (mean, log-scale, rotation tangent, opacity logit, colour coefficients) of every Gaussian."""
    poses = node_poses(scene, time_index)

    def image(step: Float[Tensor, "n d"]) -> Float[Tensor, "h w 3"]:
        moved = dataclasses.replace(scene, gaussians=step_gaussians(scene.gaussians, step))
        return render_reference(world_gaussians(moved, poses), camera, background)[0]

    return directional_jacobian(image, no_step(scene.gaussians))


def color_jacobian_at(
    scene: GaussianScene, camera: Camera, pixels: Float[Tensor, "p 2"], background: Float[Tensor, "p 3"]
) -> Float[Tensor, "1 p 3 n d"]:
    """The same at a few pixel centres of a large image, for a scene without nodes; one row of pixels."""

    def image(step: Float[Tensor, "n d"]) -> Float[Tensor, "1 p 3"]:
        return blend_reference(project_reference(step_gaussians(scene.gaussians, step), camera), pixels, background)[0][
            None
        ]

    return directional_jacobian(image, no_step(scene.gaussians))


def screen_color_jacobian(
    gaussians: Gaussians, camera: Camera, background: Float[Tensor, "h w 3"]
) -> Float[Tensor, "h w 3 n 9"]:
    """d pixel colour / d (mean2d, conic, opacity, colour) of every Gaussian; all must be in front of the camera."""
    splats = project_reference(gaussians, camera)
    order = project_order(gaussians, camera)
    pixels = pixel_centres(camera).to(background)

    def image(step: Float[Tensor, "n 9"]) -> Float[Tensor, "h w 3"]:
        step = step[order]
        conic = torch.stack([step[:, 2], step[:, 3], step[:, 3], step[:, 4]], -1).reshape(-1, 2, 2)
        moved = splats | {
            "means": splats["means"] + step[:, :2],
            "precisions": splats["precisions"] + conic,
            "opacities": splats["opacities"] + step[:, 5],
            "colors": splats["colors"] + step[:, 6:],
        }
        return blend_reference(moved, pixels, background.reshape(-1, 3))[0].reshape(background.shape)

    return directional_jacobian(image, torch.zeros(gaussians.num, 9, dtype=torch.float64))


def screen_basis(projection: Projection) -> Float[Tensor, "n 9 9"]:
    """B with d log alpha / d (mean2d, conic, opacity) = B (1, u, u^2, v, u v, v^2), and 1 for the three colours; (u, v)
    is L^T (pixel - mean) with Cholesky's L of the conic. Read off at six offsets."""
    a, b, c = projection.conics.double().unbind(-1)
    L = torch.linalg.cholesky(torch.stack([a, b, b, c], -1).reshape(-1, 2, 2))
    white = torch.tensor([[0.0, 0], [1, 0], [-1, 0], [0, 1], [0, -1], [1, 1]], dtype=torch.float64)
    u, v = white.unbind(-1)
    monomials = torch.stack([torch.ones_like(u), u, u * u, v, u * v, v * v])
    offset = torch.linalg.solve(L.mT, white.mT.expand(len(L), 2, 6))
    x, y = offset.unbind(1)
    by_opacity = (1.0 / projection.opacities.double())[:, None].expand_as(x)
    by_mean = L @ L.mT @ offset
    slopes = torch.stack([by_mean[:, 0], by_mean[:, 1], -x * x / 2, -x * y, -y * y / 2, by_opacity], 1)
    basis = torch.eye(9, dtype=torch.float64).repeat(len(L), 1, 1)
    basis[:, :6, :6] = slopes @ torch.linalg.inv(monomials)
    return basis


def project_order(gaussians: Gaussians, camera: Camera) -> Tensor:
    depth = ((gaussians.means - camera.world_from_camera[:3, 3]) @ camera.world_from_camera[:3, :3])[:, 2]
    assert (depth > 0.1).all()
    return depth.argsort(stable=True)


def screen_parameters_of(scene: GaussianScene, camera: Camera, time_index: int, step: Tensor) -> Float[Tensor, "n 9"]:
    """(mean2d, conic, opacity, colour) after a step in scene parameters, in the scene's order."""
    moved = dataclasses.replace(scene, gaussians=step_gaussians(scene.gaussians, step))
    world = world_gaussians(moved, node_poses(scene, time_index))
    splats = project_reference(world, camera)
    conics = splats["precisions"].reshape(-1, 4)[:, [0, 1, 3]]
    packed = torch.cat([splats["means"], conics, splats["opacities"][:, None], splats["colors"]], -1)
    unsorted = torch.empty_like(packed)
    unsorted[project_order(world, camera)] = packed
    return unsorted


def finite_difference_jacobian(
    scene: GaussianScene, camera: Camera, time_index: int, *, size: float = 1e-5
) -> Float[Tensor, "n 9 d"]:
    """Central differences of the screen parameters; Gaussians do not act on each other's, so all step at once."""
    columns = []
    for parameter in range(no_step(scene.gaussians).shape[1]):
        step = no_step(scene.gaussians)
        step[:, parameter] = size
        ahead = screen_parameters_of(scene, camera, time_index, step)
        columns.append((ahead - screen_parameters_of(scene, camera, time_index, -step)) / (2 * size))
    return torch.stack(columns, -1)


def no_step(gaussians: Gaussians) -> Float[Tensor, "n d"]:
    """Zero change of 3 + 3 + 3 + 1 geometric parameters and of all colour coefficients, channels fastest."""
    return torch.zeros(gaussians.num, 10 + gaussians.colors[0].numel(), dtype=torch.float64)


def step_gaussians(gaussians: Gaussians, step: Float[Tensor, "n d"]) -> Gaussians:
    """q <- q exp(r / 2): the pure quaternion r / 2 is exponentiated and multiplied from the right."""
    half = 0.5 * step[:, 6:9]
    angle = (half.square().sum(-1, keepdim=True) + 1e-60).sqrt()
    turn = torch.cat([angle.cos(), half * (angle.sin() / angle)], -1)
    return Gaussians(
        means=gaussians.means + step[:, :3],
        quats=hamilton(gaussians.quats, turn),
        log_scales=gaussians.log_scales + step[:, 3:6],
        opacity_logits=gaussians.opacity_logits + step[:, 9],
        colors=gaussians.colors + step[:, 10:].reshape(gaussians.colors.shape),
    )


def node_poses(scene: GaussianScene, time_index: int) -> list[tuple[Tensor, Tensor]]:
    """Pose and quaternion of every node; all must be present."""
    poses = [node.world_from_node[node.time_indices.tolist().index(time_index)] for node in scene.nodes]
    turns = [Rotation.from_matrix(pose[:3, :3].numpy()).as_quat(scalar_first=True) for pose in poses]
    return [(pose, torch.from_numpy(turn)) for pose, turn in zip(poses, turns, strict=True)]


def world_gaussians(scene: GaussianScene, poses: list[tuple[Tensor, Tensor]]) -> Gaussians:
    """Every Gaussian posed by its node."""
    means, quats = scene.gaussians.means, scene.gaussians.quats
    for index, (pose, turn) in enumerate(poses, 1):
        member = (scene.node_ids == index)[:, None]
        means = torch.where(member, means @ pose[:3, :3].T + pose[:3, 3], means)
        quats = torch.where(member, hamilton(turn.expand_as(quats), quats), quats)
    return dataclasses.replace(scene.gaussians, means=means, quats=quats)


def hamilton(left: Float[Tensor, "n 4"], right: Float[Tensor, "n 4"]) -> Float[Tensor, "n 4"]:
    """Scalar and vector parts: (s t - u.v, s v + t u + u x v)."""
    s, u, t, v = left[:, :1], left[:, 1:], right[:, :1], right[:, 1:]
    return torch.cat([s * t - (u * v).sum(-1, keepdim=True), s * v + t * u + torch.linalg.cross(u, v)], -1)


def directional_jacobian(function, at: Float[Tensor, "n d"]) -> Float[Tensor, "*out n d"]:  # noqa: ANN001
    """Forward-mode derivative along every coordinate, 64 at a time."""

    def along(direction: Tensor) -> Tensor:
        return torch.func.jvp(function, (at,), (direction,))[1]

    directions = torch.eye(at.numel(), dtype=at.dtype).reshape(-1, *at.shape)
    return torch.func.vmap(along, out_dims=-1, chunk_size=64)(directions).unflatten(-1, at.shape)


def block_information(jacobian: Float[Tensor, "h w 3 n d"], weight: Float[Tensor, "h w"]) -> Float[Tensor, "n d d"]:
    """sum over pixels and channels of weight * J_k^T J_k."""
    return torch.einsum("hw,hwcni,hwcnj->nij", weight, jacobian, jacobian)


def pixel_covariance(
    jacobian: Float[Tensor, "h w 3 n d"], precision: Float[Tensor, "n d d"]
) -> Float[Tensor, "h w 3 3"]:
    """V_p = sum_k J_pk H_k^-1 J_pk^T."""
    return torch.einsum("hwcni,nij,hwenj->hwce", jacobian, torch.linalg.inv(precision), jacobian)
