"""Trains the generator, its codec or the fixer on shards of windows, in one process or many."""

from faithfusion.training.engine import stop_processes
from faithfusion.training.train import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    try:
        run_tool(main)
    finally:
        stop_processes()
