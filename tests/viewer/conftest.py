"""One tiny run for all tests of the viewer."""

from pathlib import Path

import pytest
from tiny_run import write_tiny_run

from faithfusion.viewer.run_folder import Run, open_run


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_run(tmp_path_factory.mktemp("viewer") / "output" / "refine")


@pytest.fixture(scope="session")
def run(run_folder: Path) -> Run:
    return open_run(run_folder)
