"""Makes training pairs (render and EIG, references, true clip), one shard per street or drive; see docs/pairs.md.

python tools/make_pairs.py --out output/pairs --first_seed 1000 --num_streets 16
python tools/make_pairs.py --kind cross_camera --drives DRIVE1 DRIVE2 --out output/pairs
python tools/make_pairs.py --kind withheld --drives DRIVE1 DRIVE2 --out output/pairs
"""

from __future__ import annotations

from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.pairs.config import PairsConfig


def main(argv: list[str]) -> None:
    """Makes the shards that are not there yet."""
    config = parse_config(PairsConfig, argv, description=__doc__)

    from faithfusion.evaluate.report.pair_sheet import write_pair_sheet
    from faithfusion.pairs.make import make_pairs
    from faithfusion.utils.atomic import require_writable
    from faithfusion.utils.extras import require_extra
    from faithfusion.utils.progress import say

    require_extra("train", "decord")
    require_writable(Path(config.out))
    shards = make_pairs(config, lambda path: say(f"picture: {write_pair_sheet(path)}"))
    say(f"{len(shards)} shards in {config.out}")
