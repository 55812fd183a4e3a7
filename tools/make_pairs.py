"""Makes training pairs from streets or drives. The command is also `faithfusion make_pairs`."""

from faithfusion.cli.make_pairs import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
