"""Finds which stage limits recorded drives. The command is also `faithfusion bench_real`."""

from faithfusion.cli.bench_real import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
