"""One view of a scene graph: Gaussians at a time stamp in front of the sky."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.render.exposure import expose, exposure_of
from faithfusion.render.rasterise import Backend, render
from faithfusion.scene.graph import gaussians_at
from faithfusion.scene.sky import sky_background
from faithfusion.types import Camera, GaussianScene, Rendering
from faithfusion.utils.harmonics import SH_0
from faithfusion.utils.progress import track


def render_view(scene: GaussianScene, camera: Camera, time_index: int, *, backend: Backend = "auto") -> Rendering:
    """Renders the scene at a time stamp, on its own device, exposed as the camera of that name was (`render.exposure`);
    differentiable in the Gaussians of all nodes, their poses and handles, the sky texture and the exposure."""
    camera = camera.to(scene.gaussians.means.device)
    gaussians, background = gaussians_at(scene, time_index), sky_background(scene.sky, camera)
    exposure = exposure_of(scene.exposure, camera, time_index)
    if exposure is not None:
        gaussians, background = expose(gaussians, background, *exposure)
    return render(gaussians, camera, background, backend=backend)


@torch.no_grad()
def node_coverage(scene: GaussianScene, camera: Camera, time_index: int) -> Float[Tensor, "h w"]:
    """Share of every pixel's colour that moving objects (the scene's nodes) give, in [0, 1]."""
    gaussians, camera = gaussians_at(scene, time_index), camera.to(scene.gaussians.means.device)
    is_node = (scene.node_ids > 0).to(gaussians.means)
    white = ((is_node - 0.5) / SH_0)[:, None, None].expand(-1, 1, 3).contiguous()
    black = gaussians.means.new_zeros(camera.height, camera.width, 3)
    return render(dataclasses.replace(gaussians, colors=white), camera, black).color[..., 0].clamp(0.0, 1.0)


@torch.no_grad()
def render_clip(scene: GaussianScene, cameras: Sequence[Camera]) -> Float[Tensor, "t h w 3"]:
    """Colours of a scene along a trajectory in [0, 1], on the CPU; camera t at time stamp t."""
    views = [render_view(scene, camera, t).color.cpu() for t, camera in enumerate(track(cameras, "render"))]
    return torch.stack(views).clamp(0.0, 1.0)
