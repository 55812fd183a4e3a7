"""U_k: how log alpha and the colour of one Gaussian in one view change with its parameters, in closed form (Warp
functions, CPU and CUDA).

Scene parameters, 10 + 3 K: mean 3 (metres, in the node's coordinates), log-scale 3, rotation tangent 3
(q <- q exp(r/2)), opacity logit 1, then K = (L + 1)^2 colour coefficients, channels fastest: coefficient i of channel c
is parameter 10 + 3 i + c.

Rows, 9: the coefficients of 1, u, u^2, v, u v, v^2 in d log alpha, with the whitened offset (u, v) = L^T d of
`render.walk`, d = pixel - mean, conic C = Sigma2^-1 = L L^T; then the colour's 3. The projection is EWA's (Zwicker et
al., "EWA splatting", 2002), as every 3DGS rasteriser has it: Sigma2 = J V J^T + blur. From log alpha = -d^T C d / 2,

    d log alpha = (L^T dmean2d) . (u, v) + (u, v) L^T dSigma2 L (u, v)^T / 2.

For diffuse colours (K = 1) U is sparse: a 5 x 9 block for the geometry, one number for the opacity, one per colour
channel; the passes rely on it. Otherwise `eig.harmonic_colors` fills the colour rows.
"""

# Signatures of Warp kernels hold values where Python has types.
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

from collections.abc import Iterator

import torch
import warp as wp
from jaxtyping import Float, Int
from torch import Tensor

from faithfusion.eig.harmonic_colors import add_color_slopes
from faithfusion.render.project_kernels import BLUR, Footprint, Pinhole, footprint, pinhole, unit_quaternion
from faithfusion.scene.graph import gaussians_at, node_poses
from faithfusion.types import Camera, Gaussians, GaussianScene, Projection
from faithfusion.utils.warp_launch import as_warp, launch

NUM_SCREEN = 9
NUM_GEOMETRY = 10
Y_0 = wp.constant(0.28209479177387814)

mat22 = wp.types.matrix(shape=(2, 2), dtype=float)
mat23 = wp.types.matrix(shape=(2, 3), dtype=float)
mat53 = wp.types.matrix(shape=(5, 3), dtype=float)
mat59 = wp.types.matrix(shape=(5, 9), dtype=float)


@wp.struct
class SceneGaussians:
    """World Gaussians of one time stamp, the rotation of every node, and opacity and colour as rendered."""

    means: wp.array(dtype=wp.vec3)
    quats: wp.array(dtype=wp.vec4)
    log_scales: wp.array(dtype=wp.vec3)
    node_ids: wp.array(dtype=int)
    world_from_node: wp.array(dtype=wp.mat33)
    opacities: wp.array(dtype=float)
    rgb: wp.array(dtype=wp.vec3)


@wp.func
def whitening(f: Footprint) -> mat22:
    """L^T of the conic C = L L^T: its second pivot is the inverse of the variance along y."""
    root_a = wp.sqrt(f.conic[0])
    return mat22(root_a, f.conic[1] / root_a, 0.0, 1.0 / wp.sqrt(f.covariance[2]))


@wp.func
def whitened_axes(f: Footprint, whiten: mat22) -> mat23:
    """L^T B with B = J axes, row_x over row_y, without a difference of large numbers: its first row is that of C B over
    L's first pivot (`render.project_kernels` has C B as a sum), and its second has one term."""
    first = (BLUR * f.row_x + wp.cross(wp.cw_mul(f.squares, f.row_y), f.cross)) / (f.determinant * whiten[0, 0])
    return wp.matrix_from_rows(first, whiten[1, 1] * f.row_y)


@wp.func
def position_block(camera: Pinhole, t: wp.vec3, whiten: mat22, K: mat23) -> mat53:
    """Coefficients of u, u^2, v, u v, v^2 by the camera-space position; K = L^T J V, V the covariance in camera axes.

    dJ has entries in (0, 0), (0, 2), (1, 1), (1, 2) only; dSigma2 = dJ V J^T + its transpose.
    """
    fx = camera.focal[0] / t[2]
    fy = camera.focal[1] / t[2]
    slope_x = wp.clamp(t[0] / t[2], camera.low[0], camera.high[0])
    slope_y = wp.clamp(t[1] / t[2], camera.low[1], camera.high[1])
    inside_x = wp.float32(1.0)
    if slope_x != t[0] / t[2]:
        inside_x = wp.float32(0.0)
    inside_y = wp.float32(1.0)
    if slope_y != t[1] / t[2]:
        inside_y = wp.float32(0.0)
    moves = whiten * mat23(fx, 0.0, -fx * t[0] / t[2], 0.0, fy, -fy * t[1] / t[2])
    result = mat53()
    for axis in range(3):
        dJ = mat23()
        if axis == 0:
            dJ[0, 2] = -inside_x * fx / t[2]
        if axis == 1:
            dJ[1, 2] = -inside_y * fy / t[2]
        if axis == 2:
            dJ = mat23(
                -fx / t[2],
                0.0,
                (1.0 + inside_x) * fx * slope_x / t[2],
                0.0,
                -fy / t[2],
                (1.0 + inside_y) * fy * slope_y / t[2],
            )
        E = whiten * dJ
        result[0, axis] = moves[0, axis]
        result[1, axis] = wp.dot(E[0], K[0])
        result[2, axis] = moves[1, axis]
        result[3, axis] = wp.dot(E[0], K[1]) + wp.dot(E[1], K[0])
        result[4, axis] = wp.dot(E[1], K[1])
    return result


@wp.func
def geometry_block(camera: Pinhole, scene: SceneGaussians, k: int) -> mat59:
    """Coefficients of u, u^2, v, u v, v^2 by (mean in node axes, log-scale, rotation tangent)."""
    t = wp.transpose(camera.rotation) * (scene.means[k] - camera.position)
    f = footprint(camera, t, unit_quaternion(scene.quats[k]), scene.log_scales[k])
    s = f.squares
    whiten = whitening(f)
    A = whitened_axes(f, whiten)
    K = (A * wp.diag(s)) * wp.transpose(f.axes)
    turn_to_node = wp.transpose(camera.rotation) * scene.world_from_node[scene.node_ids[k]]
    P = position_block(camera, t, whiten, K) * turn_to_node
    G = mat59()
    for i in range(5):
        for j in range(3):
            G[i, j] = P[i, j]
    for axis in range(3):
        b = (axis + 1) % 3
        c = (axis + 2) % 3
        # log-scale: dSigma2 = 2 s^2 a a^T;  rotation about `axis`: (s_b^2 - s_c^2) (a_b a_c^T + a_c a_b^T)
        G[1, 3 + axis] = s[axis] * A[0, axis] * A[0, axis]
        G[3, 3 + axis] = 2.0 * s[axis] * A[0, axis] * A[1, axis]
        G[4, 3 + axis] = s[axis] * A[1, axis] * A[1, axis]
        turn = s[b] - s[c]
        G[1, 6 + axis] = turn * A[0, b] * A[0, c]
        G[3, 6 + axis] = turn * (A[0, b] * A[1, c] + A[0, c] * A[1, b])
        G[4, 6 + axis] = turn * A[1, b] * A[1, c]
    return G


@wp.func
def point_slopes(scene: SceneGaussians, k: int) -> wp.vec4:
    """d log opacity / d logit, and d colour / d DC term per channel (0 where the colour is clamped at 0)."""
    slopes = wp.vec4(1.0 - scene.opacities[k], 0.0, 0.0, 0.0)
    for c in range(3):
        if scene.rgb[k][c] > 0.0:
            slopes[1 + c] = Y_0
    return slopes


def scene_gaussians(scene: GaussianScene, time_index: int, projection: Projection) -> SceneGaussians:
    """The scene at one time stamp as Warp sees it."""
    world: Gaussians = gaussians_at(scene, time_index)
    rotations = torch.eye(3, device=world.means.device)[None]
    if scene.nodes:
        poses, _ = node_poses(scene.nodes, time_index, world.means)
        rotations = torch.cat([rotations, poses[:, :3, :3]])
    result = SceneGaussians()
    result.means, result.quats = as_warp(world.means, wp.vec3), as_warp(world.quats, wp.vec4)
    result.log_scales = as_warp(world.log_scales, wp.vec3)
    result.node_ids = as_warp(scene.node_ids.int(), wp.int32)
    result.world_from_node = as_warp(rotations, wp.mat33)
    result.opacities, result.rgb = as_warp(projection.opacities, wp.float32), as_warp(projection.rgb, wp.vec3)
    return result


def num_scene(num_coefficients: int) -> int:
    """Scene parameters of a Gaussian with that many colour coefficients per channel."""
    return NUM_GEOMETRY + 3 * num_coefficients


def screen_jacobian(
    scene: GaussianScene, camera: Camera, time_index: int, projection: Projection, ids: Int[Tensor, " m"]
) -> Float[Tensor, "m 9 d"]:
    """U_k of the Gaussians `ids`, dense, d = 10 + 3 K."""
    return next(screen_jacobians(scene, camera, time_index, projection, ids, max(1, len(ids))))[1]


def screen_jacobians(
    scene: GaussianScene,
    camera: Camera,
    time_index: int,
    projection: Projection,
    ids: Int[Tensor, " m"],
    chunk_size: int,
) -> Iterator[tuple[Int[Tensor, " c"], Float[Tensor, "c 9 d"]]]:
    """`ids` in chunks with their dense U_k, no gradients; of large scenes never all are held at once."""
    view, posed = pinhole(camera), scene_gaussians(scene, time_index, projection)
    means, rotations = wp.to_torch(posed.means), wp.to_torch(posed.world_from_node)
    viewpoint = camera.world_from_camera[:3, 3].to(means)
    colors, rgb = scene.gaussians.colors.detach(), projection.rgb.detach()
    for chunk in ids.long().split(chunk_size):
        dense = torch.zeros(len(chunk), NUM_SCREEN, num_scene(colors.shape[1]), device=ids.device)
        inputs = [view, posed, as_warp(chunk.int(), wp.int32), as_warp(dense, wp.float32)]
        launch(_dense_jacobian, len(chunk), inputs, ids.device)
        if colors.shape[1] > 1:
            turns = rotations[scene.node_ids[chunk].long()]
            add_color_slopes(dense, colors[chunk], means[chunk], turns, viewpoint, rgb[chunk])
        yield chunk, dense


@wp.kernel(enable_backward=False)
def _dense_jacobian(
    first: int, camera: Pinhole, scene: SceneGaussians, ids: wp.array(dtype=int), dense: wp.array3d(dtype=float)
):
    row = first + wp.tid()
    G = geometry_block(camera, scene, ids[row])
    slopes = point_slopes(scene, ids[row])
    dense[row, 0, 9] = slopes[0]
    for i in range(5):
        for j in range(9):
            dense[row, 1 + i, j] = G[i, j]
    for c in range(3):
        dense[row, 6 + c, 10 + c] = slopes[1 + c]
