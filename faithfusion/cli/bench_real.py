"""Finds which stage limits recorded drives: one camera is fitted and refined, another one's pictures are the truth.

python tools/bench_real.py --drives '[{scene: DRIVE}, {scene: OTHER, num_frames: 33}]' --out output/bench_real

Options of the runs are `--refine.OPTION`; what you leave open is chosen for each drive, as refine_sequence does. It
writes ladder.json and README.md. A killed run continues with the same command.
"""

from __future__ import annotations

from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.evaluate.benchmark_config import RealBenchmarkConfig
from faithfusion.utils.called import command_line


def main(argv: list[str]) -> None:
    """Runs the ladder, writes and prints its table."""
    config = parse_config(RealBenchmarkConfig, argv, description=__doc__)

    import dataclasses
    import json

    from faithfusion.evaluate.real.ladder import run_ladder
    from faithfusion.evaluate.real.page import ladder_page
    from faithfusion.utils.atomic import atomic_file, require_writable

    out = Path(config.out)
    require_writable(out)
    found = run_ladder(config, argv)
    page = ladder_page(found, command_line())
    with atomic_file(out / "ladder.json") as temporary:
        temporary.write_text(json.dumps([dataclasses.asdict(one) for one in found], indent=1))
    with atomic_file(out / "README.md") as temporary:
        temporary.write_text(page)
    print(page)
