"""Measures a finished run of refine_sequence again and writes its metrics and report anew.

python tools/evaluate.py --run output/refine
"""

import argparse
from pathlib import Path

from faithfusion.utils.progress import say


def main(argv: list[str]) -> None:
    """Reads the run and its drive, and opens no editor; scenes and clips stay as they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished run")
    parser.add_argument("--scene", help="where the recorded drive lies now, if it was moved since")
    options = parser.parse_args(argv)

    from faithfusion.evaluate.report.summary import summarise_run
    from faithfusion.pipeline.refine import read_finished_run
    from faithfusion.utils.stage_log import StageLog

    run, config = read_finished_run(options.run, options.scene)
    command = f"python tools/evaluate.py --run {options.run}"
    say(f"report: {summarise_run(run, config, StageLog(options.run).seconds, command=command)}")
