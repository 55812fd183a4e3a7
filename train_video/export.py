"""A checkpoint of a run as one file with everything a sampler needs."""

from faithfusion.cli.export_weights import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
