"""Turns a drive of KITTI raw into a drive of this layout. The command is also `faithfusion prepare_kitti`."""

from faithfusion.cli.prepare_kitti import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
