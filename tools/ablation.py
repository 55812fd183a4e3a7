"""Compares weights, editors and loops on streets with truth. The command is also `faithfusion ablation`."""

from faithfusion.cli.ablation import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
