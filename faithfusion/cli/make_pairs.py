"""Makes training pairs (render and EIG, references, true clip), one shard per street or drive; see docs/pairs.md.

python tools/make_pairs.py --out output/pairs --first_seed 1000 --num_streets 16
python tools/make_pairs.py --kind cross_camera --drives DRIVE1 DRIVE2 --out output/pairs
python tools/make_pairs.py --kind withheld --drives DRIVE1 DRIVE2 --out output/pairs
"""

import json
from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.evaluate.report.pair_sheet import write_pair_sheet
from faithfusion.pairs.config import PairsConfig
from faithfusion.pairs.make import make_pairs
from faithfusion.utils.atomic import require_writable
from faithfusion.utils.progress import say


def main(argv: list[str]) -> None:
    config = parse_config(PairsConfig, gather(argv, "--drives"), description=__doc__)
    require_writable(Path(config.out))
    shards = make_pairs(config, lambda path: say(f"picture: {write_pair_sheet(path)}"))
    say(f"{len(shards)} shards in {config.out}")


def gather(argv: list[str], option: str) -> list[str]:
    """The values after `option` as one JSON list, so that a shell may expand them."""
    if option not in argv:
        return argv
    start = argv.index(option) + 1
    stop = next((place for place in range(start, len(argv)) if argv[place].startswith("--")), len(argv))
    if stop == start + 1 and argv[start].startswith("["):
        return argv
    return [*argv[:start], json.dumps(argv[start:stop]), *argv[stop:]]
