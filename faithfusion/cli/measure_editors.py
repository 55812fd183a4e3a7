"""Measures the errors of editors that work one after another: python tools/measure_editors.py --pairs data/held_out

An editor behind others gets their finished frames, on which it errs otherwise than on renders. Its error there by what
is expected of those frames goes into the header of its weights file. Run it again when an editor before it has other
weights; until then a run says that its error was measured on renders.
"""

from __future__ import annotations

from faithfusion.config import parse_config
from faithfusion.training.measure_config import MeasureConfig


def main(argv: list[str]) -> None:
    """Measures the editors and writes into their files."""
    config = parse_config(MeasureConfig, argv, description=__doc__)

    from faithfusion.training.measure import measure_editors
    from faithfusion.utils.device import choose_device

    measure_editors(config, str(choose_device(config.device)))
