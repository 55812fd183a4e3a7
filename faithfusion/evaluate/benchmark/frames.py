"""What is measured of every frame of a clip, at one place of a drive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from faithfusion.evaluate.benchmark.columns import Frames
from faithfusion.evaluate.benchmark.nets import Nets
from faithfusion.evaluate.driving.agent_metric import PUBLISHED_SCORE
from faithfusion.evaluate.driving.agent_references import AgentReferences
from faithfusion.evaluate.driving.agent_scores import COLUMNS as AGENT_COLUMNS
from faithfusion.evaluate.driving.agent_scores import agent_row
from faithfusion.evaluate.driving.boxes import vehicles_of
from faithfusion.evaluate.driving.lane_references import LaneReference
from faithfusion.evaluate.driving.lane_scores import COLUMNS as LANE_COLUMNS
from faithfusion.evaluate.driving.lane_scores import lane_row, published_scores
from faithfusion.evaluate.metrics.flicker import warp_error
from faithfusion.evaluate.metrics.image_scores import psnr_per_frame
from faithfusion.evaluate.metrics.scored_clip import ScoredClip, Target
from faithfusion.utils.mobilenet import feature_distance


@dataclass(frozen=True)
class References:
    """Where vehicles and lines must be in each frame; None where the drive has no boxes, or no map."""

    agents: Sequence[AgentReferences] | None = None
    lanes: Sequence[LaneReference] | None = None


def clip_frames(video: Float[Tensor, "t h w 3"], target: Target, references: References, nets: Nets) -> Frames:
    """Everything that can be measured of a clip on a new path: beside the truth if there is one, and without."""
    clip = ScoredClip(video, target)
    frames = _flicker(clip) | found_frames(video.unbind(0), references, nets)
    if target.truth is None:
        return frames
    frames |= {
        "psnr_db": psnr_per_frame(clip.sq_error),
        "ssim": [float(of_frame.mean()) for of_frame in clip.ssim_maps],
    }
    if target.network is not None:
        pairs = (
            [tuple(stage[t : t + 1] for stage in features) for features in (clip.features, target.truth_features)]
            for t in range(len(video))
        )
        frames["mobilenet_distance"] = [float(feature_distance(*pair)) for pair in pairs]
    return frames


def found_frames(pictures: Sequence[Float[Tensor, "_ _ 3"]], references: References, nets: Nets) -> Frames:
    """What detector and lane net find of what must be there, as far as net and references are there."""
    frames: Frames = {}
    if nets.detector is not None and references.agents is not None:
        classes = nets.detector_config.classes
        found = [vehicles_of(nets.detections(image), classes, PUBLISHED_SCORE).boxes.cpu() for image in pictures]
        rows = torch.stack([agent_row(*pair) for pair in zip(references.agents, found, strict=True)])
        frames |= {f"agents {name}": rows[:, place].tolist() for place, name in enumerate(AGENT_COLUMNS)}
    if nets.lane_net is not None and references.lanes is not None:
        masks = [nets.lane_net(image) for image in pictures]
        rows = torch.stack([lane_row(*pair) for pair in zip(references.lanes, masks, strict=True)])
        frames |= _lane_frames(dict(zip(LANE_COLUMNS, rows.unbind(1), strict=True)))
    return frames


def _lane_frames(of: dict[str, Tensor]) -> Frames:
    nothing = torch.zeros_like(of["pixels"])
    values = {name: of[name] for name in ("seen_shared", "seen_reference", "seen_detected")} | {
        "seen_union": of["seen_reference"] + of["seen_detected"] - of["seen_shared"],
        "ntl_iou": published_scores(of["pixels"], of["reference"], of["detected"], of["shared"]),
        "ntl_iou_nothing_found": published_scores(of["pixels"], of["reference"], nothing, nothing),
    }
    return {f"lanes {name}": value.tolist() for name, value in values.items()}


def _flicker(clip: ScoredClip) -> Frames:
    """The sum of the colour changes of static points from each frame to the next, and how many points there are."""
    sums, counts = [0.0], [0.0]  # nothing leads to the first frame
    static = clip.target.static
    for t, points in enumerate(clip.target.followed):
        region = None if static is None else static[t : t + 2]
        count = float((points.is_seen if region is None else points.is_seen & region[0]).sum())
        sums.append(count * warp_error(clip.video[t : t + 2], [points], region) if count else 0.0)
        counts.append(count)
    return {"flicker_sum": sums, "flicker_pixels": counts}
