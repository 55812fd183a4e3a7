"""Makes a procedural street with exact truth. The command is also `faithfusion make_street`."""

from faithfusion.cli.make_street import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
