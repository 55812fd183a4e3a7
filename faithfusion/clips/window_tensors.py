"""A window as named tensors and back: what the training shards and the files of a run have in common.

Names: "render", "truth", "warped0", "warped1", ..., the volumes, "known", "time_indices", "poses.intrinsics" and
"poses.world_from_camera", "warped_trust" [T, n, H, W], all of which begin with the axis of frames; "references" and
the two of "reference_poses", which begin with that of references. What is not known has no name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from faithfusion.clips.shard_header import warped_name
from faithfusion.types import Camera, EigVolume, WarpedViews, Window

FLOAT16_MAX = 65504.0
EIG = ("eig_nats", "expected_sq_error", "alpha")
TRUST = "warped_trust"


def window_tensors(window: Window) -> dict[str, Tensor]:
    """The parts of a window by name, in full precision, on the CPU."""
    tensors = {name: getattr(window, name) for name in ("render", "references", "known", "depth")}
    tensors |= {name: getattr(window.eig, name) for name in EIG}
    if window.truth is not None:
        tensors["truth"] = window.truth
    if window.warped is not None:
        tensors |= {warped_name(number): view for number, view in enumerate(window.warped.colors)}
        tensors[TRUST] = window.warped.trust.transpose(0, 1)
    for name, poses in (("poses", window.poses), ("reference_poses", window.reference_poses)):
        if poses is not None:
            tensors |= {f"{name}.{field}": value for field, value in vars(poses).items()}
    if window.time_indices:
        tensors["time_indices"] = torch.tensor(window.time_indices)
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def window_from_tensors(tensors: Mapping[str, Tensor], camera_names: Sequence[str] = ()) -> Window:
    """Inverse of `window_tensors`, also of what `as_bytes` and `as_float16` have made of the parts.

    `camera_names`: of the frames' cameras, which tensors do not hold; empty ones without them.
    """
    values = {name: as_float(value) for name, value in tensors.items()}
    render, references, warped = values["render"], values["references"], None
    if TRUST in values:
        trust = values[TRUST].transpose(0, 1).contiguous()
        warped = WarpedViews(torch.stack([values[warped_name(number)] for number in range(len(trust))]), trust)
    return Window(
        render=render,
        eig=EigVolume(**{name: values[name] for name in EIG}),
        depth=values["depth"],
        references=references,
        known=values["known"],
        cameras=_cameras(values, "poses", render, camera_names),
        time_indices=tuple(values["time_indices"].tolist()) if "time_indices" in values else (),
        reference_cameras=_cameras(values, "reference_poses", references),
        truth=values.get("truth"),
        warped=warped,
    )


def as_bytes(colors: Tensor) -> Tensor:
    """Values in [0, 1] as 0 to 255."""
    return (colors.clamp(0, 1) * 255.0 + 0.5).to(torch.uint8)


def as_float16(values: Tensor) -> Tensor:
    """Values in half the bytes; those that are too large become the largest."""
    return values.clamp(-FLOAT16_MAX, FLOAT16_MAX).half()


def as_float(values: Tensor) -> Tensor:
    """What was stored in bytes or in float16, in float32; everything else as it is."""
    if values.dtype == torch.uint8:
        return values.float() / 255.0
    return values.float() if values.dtype == torch.float16 else values


def _cameras(
    values: Mapping[str, Tensor], name: str, images: Tensor, camera_names: Sequence[str] = ()
) -> tuple[Camera, ...]:
    if f"{name}.intrinsics" not in values:
        return ()
    height, width = images.shape[1:3]
    poses = zip(values[f"{name}.intrinsics"], values[f"{name}.world_from_camera"], strict=True)
    return tuple(Camera(*pose, width, height, *camera_names[n : n + 1]) for n, pose in enumerate(poses))
