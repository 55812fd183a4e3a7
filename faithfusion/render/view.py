"""One view of a scene graph: Gaussians at a time stamp in front of the sky."""

from __future__ import annotations

from faithfusion.render.rasterise import Backend, render
from faithfusion.scene.graph import gaussians_at
from faithfusion.scene.sky import sky_background
from faithfusion.types import Camera, GaussianScene, Rendering


def render_view(scene: GaussianScene, camera: Camera, time_index: int, *, backend: Backend = "auto") -> Rendering:
    """Renders the scene at a time stamp; differentiable in the Gaussians of all nodes and in the sky texture."""
    background = sky_background(scene.sky, camera)
    return render(gaussians_at(scene, time_index), camera, background, backend=backend)
