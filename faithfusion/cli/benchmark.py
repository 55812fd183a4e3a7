"""Refines a list of drives at several shifts by several methods, measures what came out and writes one table.

python tools/benchmark.py --drives LIST.yaml --shifts_m 3 6 --out BENCH
python tools/benchmark.py --config configs/evaluate/waymo_shift.yaml      the published protocol, with your own data

It writes benchmark.md, benchmark.tex and benchmark.json into the folder. A killed run continues with the same command,
and the same command in a second shell shares the drives. `--engine ray` maps them over a Ray cluster.
"""

from __future__ import annotations

from faithfusion.config import parse_config
from faithfusion.evaluate.benchmark.config import BenchmarkConfig
from faithfusion.utils.called import command_line
from faithfusion.video.editors.kinds import kinds_help


def main(argv: list[str]) -> None:
    """Makes the results of the drives that are not done yet, writes and prints the table."""
    config = parse_config(BenchmarkConfig, argv, description=f"{__doc__}\n{kinds_help()}")

    from faithfusion.evaluate.benchmark.run import run_benchmark
    from faithfusion.utils.progress import say

    page = run_benchmark(config, command_line())
    print(page.read_text())
    say(f"table: {page}")
