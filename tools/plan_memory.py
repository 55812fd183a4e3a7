"""Before anything is downloaded: parameters, operations and predicted memory of sampling and training."""

from faithfusion.cli.plan_memory import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
