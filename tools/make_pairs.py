"""Makes training pairs (render and EIG, references, true clip), one shard per street or drive; see docs/pairs.md."""

from faithfusion.cli.make_pairs import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
