"""Measures EIG against the true error of rendered views beside the recorded lane, next to the published gain.

python tools/bench_eig.py --out output/bench_eig                          on five procedural streets
python tools/bench_eig.py --out output/bench_eig --stereo KITTI_0001      and a stereo drive: fit left, measure right

It writes tables and figures there; `--docs docs/eig_benchmark` writes the page of the documentation, too. A killed run
continues with the same command.
"""

from __future__ import annotations

from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.evaluate.benchmark_config import EigBenchmarkConfig
from faithfusion.utils.called import command_line


def main(argv: list[str]) -> None:
    """Runs the benchmark and writes its pages."""
    config = parse_config(EigBenchmarkConfig, argv, description=__doc__)

    from faithfusion.evaluate.eig.benchmark import run_benchmark
    from faithfusion.evaluate.eig.eig_page import write_page
    from faithfusion.utils.atomic import require_writable
    from faithfusion.utils.progress import say

    folders = [Path(folder) for folder in (config.out, config.docs) if folder]
    for folder in folders:
        require_writable(folder)
    rows, pictures = run_benchmark(config)
    for folder in folders:
        page = write_page(folder, rows, pictures, command=command_line(), threshold=config.editor.regenerate_rms)
        say(f"wrote {page}")
