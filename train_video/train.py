"""Trains the generator, its codec or the fixer on shards of windows, in one process or many."""

from faithfusion.cli.train_video import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
