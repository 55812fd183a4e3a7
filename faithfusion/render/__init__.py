"""Rendering of Gaussians: colour, depth, alpha and the tile lists that `eig` walks again."""

from faithfusion.render.rasterise import Backend, render

__all__ = ["Backend", "render"]
