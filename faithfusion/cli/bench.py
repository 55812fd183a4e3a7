"""Speed of the parts that run in every step: `python tools/bench.py PART [options]`, `PART --help` lists them."""

from __future__ import annotations

from faithfusion.cli.speed.card import bench_card
from faithfusion.cli.speed.colors import bench_colors
from faithfusion.cli.speed.eig import bench_eig
from faithfusion.cli.speed.fit_memory import bench_memory
from faithfusion.cli.speed.raster import bench_raster
from faithfusion.cli.speed.sparse import bench_sparse
from faithfusion.cli.speed.window_seams import bench_chain
from faithfusion.utils.errors import InputError

PARTS = {
    "raster": bench_raster,
    "eig": bench_eig,
    "memory": bench_memory,
    "card": bench_card,
    "sparse": bench_sparse,
    "chain": bench_chain,
    "colors": bench_colors,
}


def main(argv: list[str]) -> None:
    """Runs one benchmark."""
    part = argv[0] if argv else "nothing"
    if part not in PARTS:
        raise InputError("bench.py", f"part {part}", f"one of {', '.join(PARTS)}")
    PARTS[part](argv[1:])
