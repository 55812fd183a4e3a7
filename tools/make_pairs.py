"""Makes training pairs (render and EIG at a shifted lane, true clip) from procedural streets, one shard per street.

python tools/make_pairs.py --out output/pairs --first_seed 1000 --num_streets 16
"""

import shutil
import tempfile
from pathlib import Path

from faithfusion.clips.store import read_shard
from faithfusion.config import parse_config
from faithfusion.distill.pairs import PairsConfig, make_street_shard
from faithfusion.evaluate.panels import colorize_eig, side_by_side
from faithfusion.evaluate.summary import EIG_RANGE_NATS
from faithfusion.utils.atomic import require_writable
from faithfusion.utils.errors import run_tool
from faithfusion.utils.media import write_image
from faithfusion.utils.progress import say


def main(argv: list[str]) -> None:
    config = parse_config(PairsConfig, argv, description=__doc__)
    out = Path(config.out)
    require_writable(out)
    for number in range(config.num_streets):
        seed = config.first_seed + number
        say(f"street {seed} ({number + 1} of {config.num_streets})")
        workspace = Path(tempfile.mkdtemp(prefix="street_", dir=out))
        try:
            write_contact_sheet(make_street_shard(seed, config, workspace))
        finally:
            shutil.rmtree(workspace, ignore_errors=True)


def write_contact_sheet(shard_path: Path) -> None:
    """One picture of every window's middle frame: render, EIG, truth."""
    rows = {}
    for index, window in enumerate(iter_windows(shard_path)):
        middle = window.render.shape[0] // 2
        frame = slice(middle, middle + 1)
        rows[f"render {index}"] = window.render[frame]
        rows[f"EIG {index}"] = colorize_eig(window.eig.eig_nats[frame], EIG_RANGE_NATS)
        rows[f"truth {index}"] = window.truth[frame]
    write_image(shard_path.with_suffix(".png"), side_by_side(rows, columns=3)[0])


def iter_windows(shard_path: Path) -> list:
    shard = read_shard(shard_path)
    return [shard[i] for i in range(len(shard))]


if __name__ == "__main__":
    run_tool(main)
