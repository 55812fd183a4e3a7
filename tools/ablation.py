"""No refinement against weights x editors, on streets with truth, at shifts to both sides: one command, one table."""

from faithfusion.cli.ablation import main
from faithfusion.utils.errors import run_tool

if __name__ == "__main__":
    run_tool(main)
