"""Trains the generator, its codec or the fixer. The command is also `faithfusion train`."""

from faithfusion.cli.train_video import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
