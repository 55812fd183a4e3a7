"""Measures EIG against the true error of rendered views beside the recorded lane, next to the published gain.

python tools/bench_eig.py --out output/bench_eig                          five procedural streets
python tools/bench_eig.py --out output/bench_eig --stereo KITTI_0001      and a stereo drive: fit left, measure right
Writes tables and figures there; `--docs docs/eig` also writes the page of the documentation. A killed run
continues with the same command.
"""

import sys
from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.evaluate.benchmark_config import EigBenchmarkConfig
from faithfusion.evaluate.eig.benchmark import run_benchmark
from faithfusion.evaluate.eig.eig_page import write_page
from faithfusion.utils.atomic import require_writable
from faithfusion.utils.progress import say


def main(argv: list[str]) -> None:
    config = parse_config(EigBenchmarkConfig, argv, description=__doc__)
    folders = [Path(folder) for folder in (config.out, config.docs) if folder]
    for folder in folders:
        require_writable(folder)
    rows, pictures = run_benchmark(config)
    command, threshold = " ".join(["python", *sys.argv]), config.editor.regenerate_rms
    for folder in folders:
        say(f"wrote {write_page(folder, rows, pictures, command=command, threshold=threshold)}")
