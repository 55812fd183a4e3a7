"""Measures a finished run of refine_sequence again and writes its metrics and report anew.

python tools/evaluate.py --run output/refine
"""

import argparse
from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.utils.errors import InputError
from faithfusion.utils.progress import say


def main(argv: list[str]) -> None:
    """Needs the run's own files only; stages that are done are not made again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of a finished run")
    folder = parser.parse_args(argv).run
    config_path = folder / "config.yaml"
    if not (folder / "views.safetensors").is_file() or not config_path.is_file():
        raise InputError(folder, "no finished run", "a folder that refine_sequence has filled")

    from faithfusion.evaluate.report.summary import summarise_run
    from faithfusion.pipeline.config import RefineConfig
    from faithfusion.pipeline.refine import run_refinement
    from faithfusion.utils.stage_log import StageLog

    config = parse_config(RefineConfig, ["--config", str(config_path), "--out", str(folder)])
    log = StageLog(folder)
    run = run_refinement(config, log)
    say(f"report: {summarise_run(run, config, log, command=f'python tools/evaluate.py --run {folder}')}")
