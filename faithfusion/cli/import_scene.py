"""Takes scenes of other systems: python tools/import_scene.py --gaussians FILE --cameras FILE --images DIR --out RUN

Gaussians: .ply (3DGS, plain or compressed), .spz, .splat. Cameras: 3DGS cameras.json, nerfstudio transforms.json or a
COLMAP model folder. Or a trained DriveStudio model: --drivestudio checkpoint_final.pth [--clip DRIVE].

Writes RUN/scene.safetensors and, with cameras and images, RUN/drive and RUN/check.png (recorded | rendered). Then go on
with tools/render_eig.py --scene_checkpoint RUN/scene.safetensors --clip RUN/drive or tools/refine_sequence.py --scene
RUN/drive.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from faithfusion.data.camera_drive import find_images, level_world, plan_drive, write_camera_drive
from faithfusion.data.camera_files import read_cameras
from faithfusion.data.drive_reader import read_drive
from faithfusion.data.posed_camera import match_cameras
from faithfusion.evaluate.report.import_check import check_import
from faithfusion.render.sky_estimate import sky_behind
from faithfusion.scene.drivestudio_checkpoint import describe, import_drivestudio, model_world, read_training_run
from faithfusion.scene.move_gaussians import move_gaussians
from faithfusion.scene.scene_file import save_scene
from faithfusion.scene.splat_files import SKY_HEIGHT, import_gaussians, scene_before_color
from faithfusion.types import DriveClip, GaussianScene
from faithfusion.utils.atomic import require_writable
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say


def build_parser() -> argparse.ArgumentParser:
    """The options; which of them go together is checked in `main`."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--gaussians", type=Path, metavar="FILE", help=".ply, .compressed.ply, .spz or .splat")
    source.add_argument("--drivestudio", type=Path, metavar="FILE", help="checkpoint_final.pth of DriveStudio")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--cameras", type=Path, help="cameras.json, transforms.json or a COLMAP folder")
    parser.add_argument("--images", type=Path, metavar="DIR", help="the pictures the cameras took")
    parser.add_argument("--match", default="*", help="only cameras whose name fits, e.g. 'front/*'")
    parser.add_argument("--up", type=float, nargs=3, metavar=("X", "Y", "Z"), help="default: the cameras' mean")
    parser.add_argument("--scale", type=float, default=1.0, help="metres per unit of the file")
    parser.add_argument("--sky_from_images", action="store_true", help="estimate the sky instead of one colour")
    parser.add_argument("--background", type=float, nargs=3, default=(0.0, 0.0, 0.0), metavar=("R", "G", "B"))
    parser.add_argument("--spz_axes", choices=("rub", "rdf"), default="rub", help="see docs/compatibility.md")
    parser.add_argument("--original_world", action="store_true", help="undo applied_transform of transforms.json")
    parser.add_argument("--dataparser_transforms", type=Path, help="of nerfstudio, for Gaussians it has trained")
    parser.add_argument("--clip", type=Path, metavar="DRIVE", help="the drive a DriveStudio model was trained on")
    return parser


def main(argv: list[str]) -> None:
    options = build_parser().parse_args(argv)
    if options.sky_from_images and not options.images:
        raise InputError("--sky_from_images", "no images", "--cameras and --images too")
    if options.images and not options.cameras:
        raise InputError("--images", options.images, "--cameras too, which say where they were taken")
    scene, clip, line, metadata = (import_model if options.drivestudio else import_file)(options)
    require_writable(options.out)
    metadata["imported_from"] = (options.drivestudio or options.gaussians).name
    save_scene(options.out / "scene.safetensors", scene, metadata)
    say(f"{options.out / 'scene.safetensors'}: {line}")
    if clip is not None:
        say(check_import(options.out / "check.png", scene, clip))


def import_file(options: argparse.Namespace) -> tuple[GaussianScene, DriveClip | None, str, dict]:
    """A file of Gaussians; its drive is written if there are cameras and images."""
    gaussians = import_gaussians(options.gaussians, spz_axes=options.spz_axes)
    sky = "a sky estimated from the images" if options.sky_from_images else f"the colour {tuple(options.background)}"
    line = f"{gaussians.num} Gaussians before {sky}"
    if not options.cameras:
        scene = move_gaussians(gaussians, level_world(options.up, options.scale))
        return scene_before_color(scene, options.background), None, line, {}
    nerfstudio = {"original_world": options.original_world, "dataparser_transforms": options.dataparser_transforms}
    cameras = match_cameras(read_cameras(options.cameras, **nerfstudio), options.match)
    images = find_images(options.images, cameras) if options.images else None
    drive = plan_drive(cameras, options.up, options.scale)
    scene = scene_before_color(move_gaussians(gaussians, drive.drive_from_file), options.background)
    metadata = {"drive_from_file": drive.drive_from_file.to_plain()}
    if images is None:
        return scene, None, line, metadata
    require_writable(options.out)
    write_camera_drive(options.out / "drive", drive, cameras, images)
    clip = read_drive(options.out / "drive")
    if options.sky_from_images:
        scene = dataclasses.replace(scene, sky=sky_behind(scene.gaussians, clip.frames, SKY_HEIGHT))
    return scene, clip, line, metadata


def import_model(options: argparse.Namespace) -> tuple[GaussianScene, DriveClip | None, str, dict]:
    """A trained model of DriveStudio, in the world of its drive if that is given."""
    clip, run = read_drive(options.clip) if options.clip else None, read_training_run(options.drivestudio)
    imported = import_drivestudio(options.drivestudio, world_from_model=model_world(run, clip), run=run)
    return imported.scene, clip, describe(imported), {"left_out": list(imported.notes)}
