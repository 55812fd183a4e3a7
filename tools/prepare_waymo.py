"""Turns a segment of the Waymo Open Dataset into a drive. The command is also `faithfusion prepare_waymo`."""

from faithfusion.cli.prepare_waymo import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
