"""Measures the speed of the parts that run in every step: python tools/bench.py PART [options]

PART --help says what a part measures and lists its options.
"""

from __future__ import annotations

import sys
from importlib import import_module
from inspect import cleandoc

from faithfusion.cli.speed import speed_config
from faithfusion.config import parse_config
from faithfusion.utils.errors import InputError

PARTS = {
    "raster": ("raster", "bench_raster", speed_config.RasterConfig),
    "step": ("step", "bench_step", speed_config.StepConfig),
    "eig": ("eig", "bench_eig", speed_config.EigCostConfig),
    "stages": ("stages", "bench_stages", speed_config.StagesConfig),
    "peers": ("peers", "bench_peers", speed_config.PeersConfig),
    "memory": ("fit_memory", "bench_memory", speed_config.FitMemoryConfig),
    "card": ("card", "bench_card", speed_config.CardConfig),
    "chain": ("window_seams", "bench_chain", speed_config.ChainConfig),
}
"""Name of a part: module of `cli.speed`, its function, its options."""


def main(argv: list[str]) -> None:
    """Runs one benchmark, or lists them."""
    part = argv[0] if argv else "nothing"
    if part in ("--help", "-h"):
        sys.stdout.write(help_page())
        return
    if part not in PARTS:
        raise InputError("bench.py", f"part {part}", f"one of {', '.join(PARTS)}")
    module, function, config_class = PARTS[part]
    text = cleandoc(config_class.__doc__ or "").partition("Attributes:")[0].strip()
    config = parse_config(config_class, argv[1:], description=text)
    getattr(import_module(f"faithfusion.cli.speed.{module}"), function)(config)


def help_page() -> str:
    """What every part measures."""
    rows = (f"  {name:<10}{(config_class.__doc__ or '').splitlines()[0]}" for name, (*_, config_class) in PARTS.items())
    return "\n".join([cleandoc(__doc__), "", "Parts:", *rows]) + "\n"
