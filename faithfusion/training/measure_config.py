"""What `tools/measure_editors.py` measures, light to import."""

from __future__ import annotations

from dataclasses import dataclass, field

from faithfusion.utils.errors import InputError
from faithfusion.video.editing.editor_config import EditorEntry, require_kinds


@dataclass(frozen=True, kw_only=True)
class MeasureConfig:
    """The editors whose errors are measured, and on what.

    Attributes:
        pairs: The folder of pairs that no editor was trained on.
        editors: The editors in their order, as in a run's `editors`; all but the first keep what is measured in their
            weights files.
        num_windows: So many windows, spread over all of the folder.
        device: Where the editors work; "auto" is CUDA if there is a device.
    """

    pairs: str
    editors: tuple[EditorEntry, ...] = field(default_factory=lambda: ({"kind": "wan"}, {"kind": "fixer"}))
    num_windows: int = 32
    device: str = "auto"

    def __post_init__(self) -> None:
        require_kinds("editors", self.editors)
        if self.num_windows < 1:
            raise InputError("num_windows", self.num_windows, "at least 1")
        if len(self.editors) == 1:
            raise InputError("editors", "one editor, which is behind no other", "at least two")
