"""NTL-IoU, whether the lines on the road lie where they must in pictures from a new lane, as a torchmetrics metric."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from faithfusion.evaluate.driving.lane_references import LaneReference
from faithfusion.evaluate.driving.lane_scores import COLUMNS, lane_row, published_scores
from faithfusion.evaluate.driving.rows import PictureRows, mean_over_clips


class NovelTrajectoryLaneIoU(PictureRows):
    """Novel trajectory lane IoU (ReconDreamer, Ni et al. 2024), in its published form and in an honest one.

    Lane pixels that a net finds in the generated picture are compared with the map's lines, projected to the new pose
    and drawn, both at 640 x 360 pixels. `compute` returns, in percent:

    - `ntl_iou`: the published form, the mean of the IoU of the background and of the lane in each picture, averaged
      over the pictures of a clip and then over clips. An IoU of 0 / 0 counts as 0.
    - `ntl_iou_nothing_found`: what `ntl_iou` would be if the net found nothing, its floor: somewhat below 50.
    - `lane_iou`: the IoU of the lane alone, over the pixels of all pictures of a clip, without those behind something
      nearer; averaged over clips. NaN if there is no lane and none was found.
    - `lane_recall`, `lane_precision`: the shares of the reference's and of the net's pixels that the other has too,
      over the same pixels.
    """

    columns = COLUMNS

    def update(
        self, detected: Sequence[Bool[Tensor, "360 640"]], references: Sequence[LaneReference], clip: int = 0
    ) -> None:
        """Adds pictures of one clip: the net's masks and the references. Raises InputError for another size."""
        self.keep(clip, [lane_row(*pair) for pair in zip(references, (mask.cpu() for mask in detected), strict=True)])

    def compute(self) -> dict[str, Float[Tensor, ""]]:
        """Returns the values by name."""
        clips, of = self.table()
        nothing = torch.zeros_like(of["pixels"])
        scores = published_scores(of["pixels"], of["reference"], of["detected"], of["shared"])
        floor = published_scores(of["pixels"], of["reference"], nothing, nothing)
        shared = 100 * of["seen_shared"]
        union = of["seen_reference"] + of["seen_detected"] - of["seen_shared"]
        return {
            "ntl_iou": mean_over_clips(clips, scores),
            "ntl_iou_nothing_found": mean_over_clips(clips, floor),
            "lane_iou": mean_over_clips(clips, shared, union),
            "lane_recall": mean_over_clips(clips, shared, of["seen_reference"]),
            "lane_precision": mean_over_clips(clips, shared, of["seen_detected"]),
        }
