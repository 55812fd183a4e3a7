"""Takes scenes of other systems: python tools/import_scene.py --gaussians FILE --cameras FILE --images DIR --out RUN

Gaussians are read from .ply (3DGS, plain or compressed), .spz or .splat, cameras from cameras.json of 3DGS,
transforms.json of nerfstudio or a COLMAP model folder. A trained DriveStudio model is taken with
--drivestudio checkpoint_final.pth [--clip DRIVE].

The command writes RUN/scene.safetensors and, with cameras and images, RUN/drive and RUN/check.png (recorded |
rendered). Then go on with tools/render_eig.py --scene_checkpoint RUN/scene.safetensors --clip RUN/drive or with
tools/refine_sequence.py --scene RUN/drive.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from faithfusion.config import parse_config
from faithfusion.utils.errors import InputError


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What is imported, and how its world is understood.

    Attributes:
        gaussians: A file of Gaussians: .ply, .compressed.ply, .spz or .splat.
        drivestudio: The checkpoint_final.pth of a DriveStudio model, instead of a file of Gaussians.
        out: The folder of the run.
        cameras: A cameras.json, a transforms.json or a COLMAP folder.
        images: The folder of the pictures that the cameras took.
        match: Takes only the cameras whose name fits this pattern, for example 'front/*'.
        apply_exif: Turns the pictures as their EXIF orientation says, for cameras of the turned pictures.
        up: The direction in the file that points up. Without it the mean of the cameras' is taken.
        scale: Metres per unit of the file.
        sky_from_images: Estimates the sky from the images instead of taking one colour.
        background: The colour behind the Gaussians, each channel from 0 to 1.
        spz_axes: The axes of an .spz file (docs/compatibility.md).
        activated: What a .ply file holds after activation: scales, opacities or both.
        original_world: Undoes the applied_transform of a transforms.json.
        dataparser_transforms: The dataparser_transforms.json of nerfstudio, for Gaussians that it has trained.
        clip: The drive that a DriveStudio model was trained on.
    """

    gaussians: Path | None = None
    drivestudio: Path | None = None
    out: Path
    cameras: Path | None = None
    images: Path | None = None
    match: str = "*"
    apply_exif: bool = False
    up: tuple[float, float, float] | None = None
    scale: float = 1.0
    sky_from_images: bool = False
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    spz_axes: Literal["rub", "rdf"] = "rub"
    activated: tuple[Literal["scales", "opacities"], ...] = ()
    original_world: bool = False
    dataparser_transforms: Path | None = None
    clip: Path | None = None

    def __post_init__(self) -> None:
        if (self.gaussians is None) == (self.drivestudio is None):
            found = "neither" if self.gaussians is None else "both"
            raise InputError("--gaussians and --drivestudio", found, "one of them")
        if self.sky_from_images and not self.images:
            raise InputError("--sky_from_images", "no images", "--cameras and --images too")
        if self.images and not self.cameras:
            raise InputError("--images", self.images, "--cameras too, which say where they were taken")


def main(argv: list[str]) -> None:
    """Reads the scene and writes the run."""
    options = parse_config(ImportOptions, argv, description=__doc__)

    from faithfusion.cli.imported_scene import import_file, import_model
    from faithfusion.evaluate.report.import_check import check_import
    from faithfusion.scene.scene_file import save_scene
    from faithfusion.utils.atomic import require_writable
    from faithfusion.utils.progress import say

    scene, clip, line, metadata = (import_model if options.drivestudio else import_file)(options)
    require_writable(options.out)
    metadata["imported_from"] = (options.drivestudio or options.gaussians).name
    save_scene(options.out / "scene.safetensors", scene, metadata)
    say(f"{options.out / 'scene.safetensors'}: {line}")
    if clip is not None:
        say(check_import(options.out / "check.png", scene, clip))
