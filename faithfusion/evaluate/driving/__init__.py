"""Measures pictures from a new lane as the field does: NTA-IoU, NTL-IoU and distances between sets of pictures, each in
its published form and in honest ones. The names below are imported only when they are asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from faithfusion.utils.extras import require_extra

if TYPE_CHECKING:
    from faithfusion.evaluate.driving.agent_metric import NovelTrajectoryAgentIoU
    from faithfusion.evaluate.driving.lane_metric import NovelTrajectoryLaneIoU

__all__ = ["NovelTrajectoryAgentIoU", "NovelTrajectoryLaneIoU"]

_MODULES = {"NovelTrajectoryAgentIoU": "agent_metric", "NovelTrajectoryLaneIoU": "lane_metric"}


def __getattr__(name: str) -> Any:
    """A public name, from the module that defines it (PEP 562). InputError if torchmetrics is not installed."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    require_extra("driving", "torchmetrics")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
