"""Speed of the parts that run in every step: `python tools/bench.py PART [options]`, `PART --help` lists them."""

from faithfusion.cli.bench import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
