"""The commands, one file each; `tools/NAME.py` and `faithfusion NAME` run the same `main`."""
