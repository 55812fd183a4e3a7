"""Frozen dataclasses that cross the borders between the package's modules.

Conventions (binding, see docs/conventions.md): OpenCV camera axes (x right, y down, z forward), pixel centres at +0.5,
metres, world z up, ego x forward and y left, quaternions wxyz, images [H, W, 3] float32 in [0, 1], videos [T, H, W, 3],
masks 1 = regenerate (sky and dynamic masks: 1 = sky, 1 = dynamic).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Camera:
    """A pinhole camera at one pose; images are undistorted. `name`: the camera of the rig whose exposure its pictures
    have; empty for the scene's mean exposure."""

    intrinsics: Float[Tensor, "3 3"]
    world_from_camera: Float[Tensor, "4 4"]
    width: int
    height: int
    name: str = ""

    @property
    def camera_from_world(self) -> Float[Tensor, "4 4"]:
        """Inverse pose, exact for rigid transforms."""
        rotation, centre = self.world_from_camera[:3, :3], self.world_from_camera[:3, 3]
        inverse = torch.eye(4, dtype=rotation.dtype, device=rotation.device)
        inverse[:3, :3] = rotation.T
        inverse[:3, 3] = -rotation.T @ centre
        return inverse

    def to(self, device: torch.device | str) -> Camera:
        """The same camera with its tensors on `device`."""
        return dataclasses.replace(
            self, intrinsics=self.intrinsics.to(device), world_from_camera=self.world_from_camera.to(device)
        )

    def resized(self, width: int, height: int, scale: tuple[float, float] | None = None) -> Camera:
        """The camera of its picture stretched to `width` x `height` pixels; the ratio of the sides may change.

        `scale` says how many new pixels an old one is wide and high where the stretched picture was also cut, or
        filled up, at its right and lower edge. Without it that is the ratio of the sizes.
        """
        across, down = scale or (width / self.width, height / self.height)
        factors = torch.tensor([across, down, 1.0]).to(self.intrinsics)
        return dataclasses.replace(self, intrinsics=factors[:, None] * self.intrinsics, width=width, height=height)


@dataclass(frozen=True)
class Frame:
    """One image of one camera at one time stamp; pixels are read only when asked for (`data.images`)."""

    time_index: int
    camera_name: str
    camera: Camera
    image_path: Path
    sky_mask_path: Path | None = None
    dynamic_mask_path: Path | None = None
    ego_mask_path: Path | None = None


@dataclass(frozen=True)
class Track:
    """A tracked 3D box; box axes x forward (length), y left (width), z up (height), origin at the centre."""

    track_id: str
    class_name: str
    size_m: Float[Tensor, 3]  # length, width, height
    time_indices: Int[Tensor, " n"]  # ascending
    world_from_box: Float[Tensor, "n 4 4"]
    is_moving: bool
    top_points: Int[Tensor, " n"] | None = None  # points of the top LiDAR in the box, where the data set says so


@dataclass(frozen=True)
class DriveClip:
    """A recorded drive: posed images of a rig, LiDAR, tracked boxes. `missing` names optional parts that are absent."""

    name: str
    root: Path
    num_frames: int
    camera_names: tuple[str, ...]
    frames: tuple[Frame, ...]  # time-major: frames[t * len(camera_names) + c]
    world_from_ego: Float[Tensor, "t 4 4"]
    lidar_paths: tuple[Path | None, ...]  # one per time stamp
    tracks: tuple[Track, ...]
    missing: tuple[str, ...]
    frame_rate_hz: float = 10.0
    layout: str = "waymo"  # how its files lie on disk, a name of `data.layouts.LAYOUTS`

    def frame(self, time_index: int, camera_name: str) -> Frame:
        """The frame of one camera at one time stamp."""
        return self.frames[time_index * len(self.camera_names) + self.camera_names.index(camera_name)]


@dataclass(frozen=True)
class Gaussians:
    """N anisotropic Gaussians in one coordinate frame, parameters before activation."""

    means: Float[Tensor, "n 3"]  # metres
    quats: Float[Tensor, "n 4"]  # wxyz, not necessarily normalised
    log_scales: Float[Tensor, "n 3"]  # log of the standard deviation in metres
    opacity_logits: Float[Tensor, " n"]  # opacity = sigmoid
    colors: Float[Tensor, "n k 3"]  # spherical harmonics, k = (L + 1)^2; rgb = 0.5 + Y_0 c_0 + ...

    @property
    def num(self) -> int:
        """Number of Gaussians N."""
        return self.means.shape[0]


@dataclass(frozen=True)
class RigidNode:
    """A moving object with its own Gaussians, posed per time stamp; absent outside `time_indices`.

    A walking or cycling person also changes shape: its Gaussians follow `handles_m` (node coordinates), displaced by
    `handle_offsets_m` at each time stamp (`scene.deform`). Vehicles have no handles. `log_gains`: how bright the object
    is at each time stamp, as the log of a factor on its colour; it drives through sun and shade.
    """

    track_id: str
    size_m: Float[Tensor, 3]
    time_indices: Int[Tensor, " n"]
    world_from_node: Float[Tensor, "n 4 4"]
    handles_m: Float[Tensor, "c 3"] | None = None
    handle_offsets_m: Float[Tensor, "n c 3"] | None = None
    log_gains: Float[Tensor, "n 3"] | None = None


@dataclass(frozen=True)
class Sky:
    """Environment map, equirectangular in world directions: row 0 = zenith (+z), column 0 = +x, turning to +y."""

    texture: Float[Tensor, "hs ws 3"]


@dataclass(frozen=True)
class Exposure:
    """How each picture was exposed: its colour = exp(log_gain) * colour of the scene + offset, per channel."""

    camera_names: tuple[str, ...]
    log_gains: Float[Tensor, "c t 3"]
    offsets: Float[Tensor, "c t 3"]


@dataclass(frozen=True)
class GaussianScene:
    """The Gaussian scene graph. Background Gaussians (`node_ids == 0`) are in world coordinates, those with
    `node_ids == k > 0` in the coordinates of `nodes[k - 1]`. Without `exposure` all pictures are exposed alike.
    `world_from_ego`: poses of the recording vehicle where the fit refined them (`scene.fitted_poses`)."""

    gaussians: Gaussians
    node_ids: Int[Tensor, " n"]
    nodes: tuple[RigidNode, ...]
    sky: Sky
    exposure: Exposure | None = None
    world_from_ego: Float[Tensor, "t 4 4"] | None = None


@dataclass(frozen=True)
class Projection:
    """Gaussians in screen space. Culled ones have radius 0. conic = inverse 2x2 covariance (a, b, c)."""

    means2d: Float[Tensor, "n 2"]  # pixels
    conics: Float[Tensor, "n 3"]
    stds2d: Float[Tensor, "n 2"]  # along x and y, pixels: of a thin conic they could not be told any more
    depths: Float[Tensor, " n"]  # camera z, metres
    radii: Int[Tensor, " n"]  # pixels, 0 = culled
    opacities: Float[Tensor, " n"]
    rgb: Float[Tensor, "n 3"]  # colour seen from this camera, after spherical harmonics


@dataclass(frozen=True)
class TileLists:
    """Gaussians per square tile, front to back: tile i = ty * tiles_x + tx holds ids[offsets[i] : offsets[i + 1]]."""

    tile_size: int
    tiles_x: int
    tiles_y: int
    offsets: Int[Tensor, " tiles_plus_1"]
    gaussian_ids: Int[Tensor, " m"]


@dataclass(frozen=True)
class Rendering:
    """One rendered view with what `eig` needs to walk the same pixels again."""

    color: Float[Tensor, "h w 3"]
    depth: Float[Tensor, "h w"]  # expected camera z over the accumulated alpha, metres; 0 where alpha is 0
    alpha: Float[Tensor, "h w"]
    projection: Projection
    tiles: TileLists
    backend: str


@dataclass(frozen=True)
class EigMap:
    """Pixel-wise expected information gain of one view, in nats, and what it was computed from."""

    eig_nats: Float[Tensor, "h w"]
    predictive_variance: Float[Tensor, "h w"]  # trace(V_p) / 3, colour units squared, uncalibrated
    alpha: Float[Tensor, "h w"]


@dataclass(frozen=True)
class EigVolume:
    """EIG of a clip. `expected_sq_error` is the calibrated mean squared colour error of the render, per channel."""

    eig_nats: Float[Tensor, "t h w"]
    expected_sq_error: Float[Tensor, "t h w"]
    alpha: Float[Tensor, "t h w"]


@dataclass(frozen=True)
class ViewPoses:
    """Pinhole cameras of images of one size, stacked: intrinsics in pixels, poses in metres in one world."""

    intrinsics: Float[Tensor, "n 3 3"]
    world_from_camera: Float[Tensor, "n 4 4"]

    @classmethod
    def of(cls, cameras: Sequence[Camera]) -> ViewPoses | None:
        """The cameras in their order, in float32; None without cameras."""
        parts = [(camera.intrinsics.float(), camera.world_from_camera.float()) for camera in cameras]
        return cls(*map(torch.stack, zip(*parts, strict=True))) if parts else None


@dataclass(frozen=True)
class WarpedViews:
    """Recorded views brought into a clip's own by its depth: per pixel the n best in turn. `trust` in [0, 1]; 0 where
    no view shows the surface, the colour there is the render's."""

    colors: Float[Tensor, "n t h w 3"]
    trust: Float[Tensor, "n t h w"]


@dataclass(frozen=True)
class Window:
    """What the generator gets: 4k+1 frames of a render with its EIG, references from the recorded views, and, in
    training, the true clip. `known` marks frames whose content is exact history (phi = 0). Cameras and time stamps
    (frame numbers of the drive) are those of the frames, one each; without any, nobody knows where the clip was seen
    from."""

    render: Float[Tensor, "t h w 3"]
    eig: EigVolume
    depth: Float[Tensor, "t h w"]
    references: Float[Tensor, "r rh rw 3"]
    known: Bool[Tensor, " t"]
    cameras: tuple[Camera, ...] = ()
    time_indices: tuple[int, ...] = ()
    reference_cameras: tuple[Camera, ...] = ()
    truth: Float[Tensor, "t h w 3"] | None = None
    warped: WarpedViews | None = None

    @property
    def poses(self) -> ViewPoses | None:
        """The cameras of the frames, stacked; None if they are not known."""
        return ViewPoses.of(self.cameras)

    @property
    def reference_poses(self) -> ViewPoses | None:
        """The cameras of the references, stacked; None if they are not known."""
        return ViewPoses.of(self.reference_cameras)
