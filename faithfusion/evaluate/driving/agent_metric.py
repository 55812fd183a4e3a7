"""NTA-IoU, whether vehicles stand where they must in pictures from a new lane, as a torchmetrics metric."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from faithfusion.evaluate.driving.agent_references import HEIGHT, WIDTH, AgentReferences
from faithfusion.evaluate.driving.agent_scores import COLUMNS, agent_row
from faithfusion.evaluate.driving.boxes import Detections, vehicles_of
from faithfusion.evaluate.driving.rows import PictureRows, mean_over_clips
from faithfusion.utils.errors import InputError

PUBLISHED_CLASSES = ("car", "bus")
PUBLISHED_SCORE = 0.5


class NovelTrajectoryAgentIoU(PictureRows):
    """Novel trajectory agent IoU (ReconDreamer, Ni et al. 2024), in its published form and in honest ones.

    Detections of the generated picture are compared with labelled vehicles projected to the new pose, both at 480 x 320
    pixels. Everything is averaged over the references of a clip and then over clips. `compute` returns:

    - `nta_iou`: the published form. A reference's score is its IoU with the detection whose centre is nearest, if that
      is within 10 pixels, else 0.
    - `nta_iou_visible`: the same without the references that are more than half hidden.
    - `nta_iou_single`: the same where each detection may serve one reference only.
    - `matched_iou`: the honest form. The mean IoU of visible vehicles, cut at the border, each with a detection of its
      own; 0 where it has none.
    - `recall`: the share of those vehicles that have a detection with an IoU of at least 0.5.
    - `precision`: the share of the detections that have such a vehicle; detections on vehicles that nobody asks for
      (hidden, cut by half, without LiDAR points) do not count.

    A value is NaN if nothing was there to be measured.

    Args:
        classes: COCO's names of the classes that count as vehicles.
        min_score: Detections must score more than this.
        options: Options of `torchmetrics.Metric`.
    """

    columns = COLUMNS

    def __init__(
        self, classes: Sequence[str] = PUBLISHED_CLASSES, min_score: float = PUBLISHED_SCORE, **options: object
    ) -> None:
        super().__init__(**options)
        self.classes, self.min_score = tuple(classes), min_score

    def update(self, detections: Sequence[Detections], references: Sequence[AgentReferences], clip: int = 0) -> None:
        """Adds pictures of one clip. Raises InputError for detections in pictures of another size than 480 x 320."""
        for found in detections:
            if (found.width, found.height) != (WIDTH, HEIGHT):
                raise InputError("detections", f"of {found.width} x {found.height} pixels", f"{WIDTH} x {HEIGHT}")
        vehicles = [vehicles_of(found, self.classes, self.min_score).boxes.cpu() for found in detections]
        self.keep(clip, [agent_row(*pair) for pair in zip(references, vehicles, strict=True)])

    def compute(self) -> dict[str, Float[Tensor, ""]]:
        """Returns the values by name."""
        clips, of = self.table()
        return {
            "nta_iou": mean_over_clips(clips, of["iou"], of["references"]),
            "nta_iou_visible": mean_over_clips(clips, of["visible_iou"], of["visible_references"]),
            "nta_iou_single": mean_over_clips(clips, of["single_iou"], of["references"]),
            "matched_iou": mean_over_clips(clips, of["matched_iou"], of["seen"]),
            "recall": mean_over_clips(clips, of["hits"], of["seen"]),
            "precision": mean_over_clips(clips, of["hits"], of["detections"]),
        }
