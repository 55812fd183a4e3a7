"""What import_scene reads: Gaussians of a file with or without cameras, or a trained model of DriveStudio."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from faithfusion.data.camera_drive import cameras_with_pictures, level_world, plan_drive, write_camera_drive
from faithfusion.data.camera_files import read_cameras
from faithfusion.data.drive_reader import read_drive
from faithfusion.render.sky_estimate import sky_behind
from faithfusion.scene.drivestudio_checkpoint import describe, import_drivestudio, model_world, read_training_run
from faithfusion.scene.splat_files import SKY_HEIGHT, import_gaussians, scene_before_color
from faithfusion.types import DriveClip, GaussianScene
from faithfusion.utils.atomic import require_writable

if TYPE_CHECKING:
    from faithfusion.cli.import_scene import ImportOptions


def import_file(options: ImportOptions) -> tuple[GaussianScene, DriveClip | None, str, dict]:
    """A file of Gaussians; its drive is written if there are cameras and images."""
    if options.cameras:
        nerfstudio = {"original_world": options.original_world, "dataparser_transforms": options.dataparser_transforms}
        cameras, images = read_cameras(options.cameras, match=options.match, **nerfstudio), None
        if options.images:
            cameras, images = cameras_with_pictures(options.images, cameras)
        drive = plan_drive(cameras, options.up, options.scale)
    move = drive.drive_from_file if options.cameras else level_world(options.up, options.scale)
    gaussians = import_gaussians(options.gaussians, spz_axes=options.spz_axes, activated=options.activated, move=move)
    sky = "a sky estimated from the images" if options.sky_from_images else f"the colour {tuple(options.background)}"
    line = f"{gaussians.num} Gaussians before {sky}"
    scene = scene_before_color(gaussians, options.background)
    if not options.cameras:
        return scene, None, line, {}
    metadata = {"drive_from_file": drive.drive_from_file.to_plain()}
    if images is None:
        return scene, None, line, metadata
    require_writable(options.out)
    write_camera_drive(options.out / "drive", drive, cameras, images, apply_exif=options.apply_exif)
    clip = read_drive(options.out / "drive")
    if options.sky_from_images:
        scene = dataclasses.replace(scene, sky=sky_behind(scene.gaussians, clip.frames, SKY_HEIGHT))
    return scene, clip, line, metadata


def import_model(options: ImportOptions) -> tuple[GaussianScene, DriveClip | None, str, dict]:
    """A trained model of DriveStudio, in the world of its drive if that is given."""
    clip, run = read_drive(options.clip) if options.clip else None, read_training_run(options.drivestudio)
    imported = import_drivestudio(options.drivestudio, world_from_model=model_world(run, clip), run=run)
    return imported.scene, clip, describe(imported), {"left_out": list(imported.notes)}
