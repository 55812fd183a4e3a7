"""FaithFusion: lane-shift videos and Gaussian scenes joined by pixel-wise expected information gain.

The public names, each imported only when it is asked for:

- Drives: `read_drive` (a recorded drive in any layout), `DriveClip`, `Camera`.
- Scenes: `fit_scene` (Gaussians from a drive), `render_view`, `save_scene`, `load_scene`, `GaussianScene`, `Gaussians`.
- Gaussians of other programs: `import_gaussians` (.ply, .spz, .splat), `gaussians_from_gsplat`,
  `gaussians_from_splatfacto`, `scene_before_color`.
- Cameras of other programs: `read_cameras` and `camera_of_file`, `cameras_from_gsplat`, `cameras_from_nerfstudio`.
- Expected information gain: `EigField`, `EigConfig`, `TrainingView`, `whole_view`, `Candidate`.
- The whole: `RefineConfig`, `StageLog` and `run_refinement`, from a drive to an edited clip and a better scene.
- `InputError`: raised for everything a user gave that is wrong, with what was found and what was expected.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faithfusion.data.camera_files import read_cameras
    from faithfusion.data.drive_reader import read_drive
    from faithfusion.data.user_cameras import camera_of_file, cameras_from_gsplat, cameras_from_nerfstudio
    from faithfusion.eig.config import EigConfig
    from faithfusion.eig.field import EigField
    from faithfusion.eig.observe import TrainingView, whole_view
    from faithfusion.eig.rank import Candidate
    from faithfusion.fit.fit import fit_scene
    from faithfusion.pipeline.config import RefineConfig
    from faithfusion.pipeline.refine import run_refinement
    from faithfusion.render.render_view import render_view
    from faithfusion.scene.scene_file import load_scene, save_scene
    from faithfusion.scene.splat_files import import_gaussians, scene_before_color
    from faithfusion.scene.user_gaussians import gaussians_from_gsplat, gaussians_from_splatfacto
    from faithfusion.types import Camera, DriveClip, Gaussians, GaussianScene
    from faithfusion.utils.errors import InputError
    from faithfusion.utils.stage_log import StageLog

__version__ = "0.1.0"

__all__ = [
    "Camera",
    "Candidate",
    "DriveClip",
    "EigConfig",
    "EigField",
    "GaussianScene",
    "Gaussians",
    "InputError",
    "RefineConfig",
    "StageLog",
    "TrainingView",
    "camera_of_file",
    "cameras_from_gsplat",
    "cameras_from_nerfstudio",
    "fit_scene",
    "gaussians_from_gsplat",
    "gaussians_from_splatfacto",
    "import_gaussians",
    "load_scene",
    "read_cameras",
    "read_drive",
    "render_view",
    "run_refinement",
    "save_scene",
    "scene_before_color",
    "whole_view",
]

_MODULES = {
    "data.camera_files": ("read_cameras",),
    "data.drive_reader": ("read_drive",),
    "data.user_cameras": ("camera_of_file", "cameras_from_gsplat", "cameras_from_nerfstudio"),
    "eig.config": ("EigConfig",),
    "eig.field": ("EigField",),
    "eig.observe": ("TrainingView", "whole_view"),
    "eig.rank": ("Candidate",),
    "fit.fit": ("fit_scene",),
    "pipeline.config": ("RefineConfig",),
    "pipeline.refine": ("run_refinement",),
    "render.render_view": ("render_view",),
    "scene.scene_file": ("load_scene", "save_scene"),
    "scene.splat_files": ("import_gaussians", "scene_before_color"),
    "scene.user_gaussians": ("gaussians_from_gsplat", "gaussians_from_splatfacto"),
    "types": ("Camera", "DriveClip", "Gaussians", "GaussianScene"),
    "utils.errors": ("InputError",),
    "utils.stage_log": ("StageLog",),
}


def __getattr__(name: str) -> Any:
    """A public name, from the module that defines it (PEP 562)."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
