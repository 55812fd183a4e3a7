"""A log of py123d to a drive. Runs in py123d's own environment, which needs nothing of ours but this folder:"""

from faithfusion.cli.prepare_py123d import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
