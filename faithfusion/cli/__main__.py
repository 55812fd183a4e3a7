"""`python -m faithfusion.cli COMMAND` is `faithfusion COMMAND`."""

from faithfusion.cli.main import console

if __name__ == "__main__":
    console()
