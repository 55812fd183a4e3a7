"""Renders the expected information gain of a drive shifted sideways: a volume in nats and a video with a colour bar.

python tools/render_eig.py --scene_checkpoint RUN/scene.safetensors --clip DRIVE --shift_m 3 --out output/eig
"""

from dataclasses import dataclass, field
from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.data.drivestudio import read_clip
from faithfusion.data.splits import split_frames
from faithfusion.data.trajectories import shifted_cameras
from faithfusion.distill.assess import calibrate_scene, scene_posterior
from faithfusion.eig.calibrate import calibration_from_plain
from faithfusion.eig.posterior import EigConfig
from faithfusion.eig.volume import eig_volume, save_eig_volume
from faithfusion.evaluate.panels import colorize_eig, with_color_bar
from faithfusion.scene.checkpoint import load_scene
from faithfusion.utils.atomic import require_writable
from faithfusion.utils.errors import InputError, run_tool
from faithfusion.utils.media import write_video
from faithfusion.utils.progress import say


@dataclass(frozen=True)
class RenderEigConfig:
    """What to render.

    Attributes:
        scene_checkpoint: scene.safetensors of a reconstruction.
        clip: the drive the scene was fitted to, in DriveStudio's layout.
        out: folder for eig.safetensors and eig.mp4.
        camera: camera name; empty = the first.
        shift_m: metres to the left (negative: right).
        held_out_every: every how many time stamps one is kept back for calibration, as in the reconstruction.
        max_nats: top of the colour scale.
        eig: noise, prior and memory.
    """

    scene_checkpoint: str = ""
    clip: str = ""
    out: str = ""
    camera: str = ""
    shift_m: float = 3.0
    held_out_every: int = 8
    max_nats: float = 6.0
    eig: EigConfig = field(default_factory=EigConfig)

    def __post_init__(self) -> None:
        for name in ("scene_checkpoint", "clip", "out"):
            if not getattr(self, name):
                raise InputError(f"--{name}", "nothing", "a path")


def main(argv: list[str]) -> None:
    config = parse_config(RenderEigConfig, argv, description=__doc__)
    out = Path(config.out)
    scene, metadata = load_scene(Path(config.scene_checkpoint))
    clip = read_clip(Path(config.clip))
    cameras = shifted_cameras(clip, config.camera or clip.camera_names[0], config.shift_m)
    require_writable(out)
    train, held_out = split_frames(clip, config.held_out_every)
    posterior = scene_posterior(scene, clip, train, config.eig)
    if "calibration" in metadata:
        calibration = calibration_from_plain(metadata["calibration"])
    else:
        calibration = calibrate_scene(scene, posterior, clip, held_out, config.eig)
    volume, _, _ = eig_volume(scene, posterior, calibration, cameras, range(len(cameras)), config.eig)
    save_eig_volume(out / "eig.safetensors", volume, calibration)
    video = with_color_bar(colorize_eig(volume.eig_nats, config.max_nats), config.max_nats)
    write_video(out / "eig.mp4", video, clip.frame_rate_hz)
    say(f"wrote {out / 'eig.safetensors'} and {out / 'eig.mp4'}")


if __name__ == "__main__":
    run_tool(main)
