"""`render`: one function in front of all rasterisers."""

from __future__ import annotations

import functools
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from faithfusion.render.gsplat_backend import blend_gsplat, gsplat_problem
from faithfusion.render.project import project
from faithfusion.render.tiles import intersect_tiles
from faithfusion.render.warp_backend import blend_warp
from faithfusion.types import Camera, Gaussians, Rendering
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say

Backend = Literal["auto", "warp", "gsplat"]


def render(
    gaussians: Gaussians, camera: Camera, background: Float[Tensor, "h w 3"], *, backend: Backend = "auto"
) -> Rendering:
    """Renders Gaussians in world coordinates over a background image.

    Colour, depth and alpha are differentiable in every Gaussian parameter and the background (not in the camera).
    `Rendering.projection.means2d` is part of the graph: call its `retain_grad()` to read screen-space gradients.
    "auto" takes gsplat for CUDA tensors if its extension works and Warp otherwise. Raises InputError if the background
    does not have the camera's size or the backend cannot run here.
    """
    if tuple(background.shape) != (camera.height, camera.width, 3):
        raise InputError(
            "background", f"shape {tuple(background.shape)}", f"{(camera.height, camera.width, 3)} of the camera"
        )
    name = choose_backend(backend, background.device.type)
    projection = project(gaussians, camera)
    tiles = intersect_tiles(projection, camera.width, camera.height)
    blend = blend_gsplat if name == "gsplat" else blend_warp
    color, depth, alpha = blend(projection, tiles, background)
    return Rendering(color=color, depth=depth, alpha=alpha, projection=projection, tiles=tiles, backend=name)


@functools.cache
def choose_backend(backend: Backend, device_type: str) -> Literal["warp", "gsplat"]:
    if backend not in ("auto", "warp", "gsplat"):
        raise InputError("render backend", backend, "auto, warp or gsplat")
    if backend == "warp":
        name, reason = "warp", "asked for"
    elif device_type != "cuda":
        name, reason = "warp", f"gsplat needs CUDA tensors, these are on {device_type}"
    else:
        problem = gsplat_problem()
        fallback = f"gsplat cannot be used: {problem}; see docs/compatibility.md"
        name, reason = ("gsplat", "its CUDA extension works") if problem is None else ("warp", fallback)
    if backend == "gsplat" and name != "gsplat":
        raise InputError("render backend gsplat", reason, "CUDA tensors and a working gsplat, or backend warp")
    say(f"rasteriser: {name} on {device_type} ({reason})")
    return name
