"""Where the time of finished refinements went."""

from __future__ import annotations

from pathlib import Path

from faithfusion.cli.speed.speed_config import StagesConfig
from faithfusion.utils.errors import InputError
from faithfusion.utils.stage_log import StageLog


def bench_stages(config: StagesConfig) -> None:
    """Prints a table of seconds: every stage, the report, and their sum."""
    columns = [seconds_of(Path(run)) for run in config.runs]
    print("| stage | " + " | ".join(f"{run}, s" for run in config.runs) + " |\n" + "|---" * (len(columns) + 1) + "|")
    for name in dict.fromkeys(name for column in columns for name in column):
        cells = [f"{column[name]:.0f}" if name in column else "" for column in columns]
        print(f"| {name} | " + " | ".join(cells) + " |")


def seconds_of(run: Path) -> dict[str, float]:
    """The seconds of every stage, and of the report, which is written between the last stage's note and its own end.

    Raises InputError for a folder without a finished run.
    """
    state, report = run / "state.json", run / "report.html"
    if not (state.is_file() and report.is_file()):
        raise InputError(run, "no finished run", "a folder that refine_sequence has filled")
    seconds = StageLog(run).seconds
    seconds["report"] = report.stat().st_mtime - state.stat().st_mtime
    return seconds | {"all": sum(seconds.values())}
