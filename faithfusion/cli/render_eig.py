"""Renders the expected information gain along a new trajectory: a volume in nats and a video with a colour bar.

python tools/render_eig.py --scene_checkpoint RUN/scene.safetensors --clip DRIVE --shift_m 3 --out output/eig
or, in place of --shift_m:   --trajectory '[{shift_m: 3, over_m: [20, 50]}]'

With --rank 10 it lists instead the ten poses to record next, chosen greedily: a table, and OUT/rank.json with their
4x4 world_from_camera (metres; OpenCV camera axes; the world is the ego's first pose: x forward, y left, z up).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.data.split_config import SplitConfig
from faithfusion.data.trajectory_config import TrajectoryEntry
from faithfusion.eig.config import EigConfig
from faithfusion.utils.errors import InputError


@dataclass(frozen=True)
class RenderEigConfig:
    """What to render.

    Attributes:
        scene_checkpoint: The scene.safetensors of a reconstruction.
        clip: The drive that the scene was fitted to.
        out: The folder for eig.safetensors and eig.mp4, or for rank.json.
        camera: The name of the camera. Without it the first one is taken, and all are candidates of `rank`.
        shift_m: The whole drive is shifted by so many metres to the left (negative: to the right); 0 is the recorded
            path.
        trajectory: Where to drive instead of `shift_m`, as entries that add up (docs/trajectories.md).
        split: What the fit did not see, for a scene that does not say so itself.
        max_nats: The top of the colour scale. Without it the scale is that of all EIG pictures, 8 nats.
        rank: So many of the most informative poses are listed; 0 renders the volume.
        rank_shifts_m: Candidates lie at these distances from the recorded poses, in metres to the left.
        rank_every: One of so many time stamps gives candidates, from the first on.
        eig: Noise, prior and memory of EIG.
    """

    scene_checkpoint: str = ""
    clip: str = ""
    out: str = ""
    camera: str = ""
    shift_m: float = 3.0
    trajectory: tuple[TrajectoryEntry, ...] = ()
    split: SplitConfig = field(default_factory=SplitConfig)
    max_nats: float | None = None
    rank: int = 0
    rank_shifts_m: tuple[float, ...] = (-6.0, -3.0, -1.5, 0.0, 1.5, 3.0, 6.0)
    rank_every: int = 8
    eig: EigConfig = field(default_factory=EigConfig)

    def __post_init__(self) -> None:
        for name in ("scene_checkpoint", "clip", "out"):
            if not getattr(self, name):
                raise InputError(f"--{name}", "nothing", "a path")
        if self.rank < 0:
            raise InputError("--rank", self.rank, "a number of poses, or 0 to render the volume")


def main(argv: list[str]) -> None:
    """Renders the volume, or lists the best next views."""
    config = parse_config(RenderEigConfig, argv, description=__doc__)

    from faithfusion.data.drive_reader import read_drive
    from faithfusion.data.new_path import clip_path, path_cameras
    from faithfusion.data.trajectories import distance_from_path_m
    from faithfusion.eig.assess import fitted_clip, reassess_scene
    from faithfusion.eig.field_file import save_eig_volume
    from faithfusion.eig.rank import clip_candidates, ranking_table, save_ranking
    from faithfusion.evaluate.report.panels import EIG_RANGE_NATS, colorize_eig, with_color_bar
    from faithfusion.scene.fitted_poses import clip_as_fitted
    from faithfusion.scene.scene_file import load_scene
    from faithfusion.utils.atomic import require_writable
    from faithfusion.utils.device import choose_device
    from faithfusion.utils.media import write_video
    from faithfusion.utils.progress import say

    out = Path(config.out)
    scene, metadata = load_scene(Path(config.scene_checkpoint), choose_device("auto"))
    clip = clip_as_fitted(read_drive(Path(config.clip)), scene)
    names = (config.camera,) if config.camera else clip.camera_names
    shift = (TrajectoryEntry(shift_m=config.shift_m),) if config.shift_m else ()
    cameras = path_cameras(clip, names[0], clip_path(clip, config.trajectory or shift))
    candidates = clip_candidates(clip, names, config.rank_shifts_m, config.rank_every) if config.rank else []
    if config.rank > len(candidates):
        raise InputError("--rank", config.rank, f"at most the {len(candidates)} candidates there are")
    fitted = clip_as_fitted(fitted_clip(clip, metadata), scene)
    require_writable(out)
    known = reassess_scene(scene, metadata, fitted, config.split, config.eig)
    if config.rank:
        ranking = known.rank(candidates, config.rank)
        save_ranking(out / "rank.json", ranking)
        print(ranking_table(ranking))
        say(f"wrote {out / 'rank.json'}: {len(ranking)} of {len(candidates)} candidates")
        return
    distances_m = [distance_from_path_m(fitted, camera) for camera in cameras]
    volume, _, _ = known.volume(cameras, range(len(cameras)), distances_m)
    save_eig_volume(out / "eig.safetensors", volume, known.calibration)
    max_nats = EIG_RANGE_NATS if config.max_nats is None else config.max_nats
    video = with_color_bar(colorize_eig(volume.eig_nats, max_nats), max_nats)
    write_video(out / "eig.mp4", video, clip.frame_rate_hz)
    say(f"wrote {out / 'eig.safetensors'} and {out / 'eig.mp4'}")
