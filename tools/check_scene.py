"""Looks for faults in a recorded drive, draws what was understood of it, and ends with a verdict in one line."""

from faithfusion.cli.check_scene import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
