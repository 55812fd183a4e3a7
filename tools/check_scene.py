"""Looks for faults in a drive and says whether it can be used. The command is also `faithfusion check`."""

from faithfusion.cli.check_scene import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
