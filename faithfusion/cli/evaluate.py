"""Measures a finished run of refine_sequence again and writes its metrics and report anew.

python tools/evaluate.py --run output/refine
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.utils.called import command_line


@dataclass(frozen=True)
class EvaluateOptions:
    """What is measured again.

    Attributes:
        run: The folder of a finished run.
        scene: Where the recorded drive lies now, if it was moved since.
    """

    run: Path
    scene: str | None = None


def main(argv: list[str]) -> None:
    """Reads the run and its drive, and opens no editor; scenes and clips stay as they are."""
    options = parse_config(EvaluateOptions, argv, description=__doc__)

    from faithfusion.evaluate.report.summary import summarise_run
    from faithfusion.pipeline.refine import read_finished_run
    from faithfusion.utils.progress import say
    from faithfusion.utils.stage_log import StageLog

    run, config = read_finished_run(options.run, options.scene)
    say(f"report: {summarise_run(run, config, StageLog(options.run).seconds, command=command_line())}")
