"""Shared fixtures. Data outside the repository is looked for in `../shared/data` or `FAITHFUSION_SHARED`."""

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch; spinning threads cost more than they give here

import pytest
import runtime_types
import torch

runtime_types.check_annotations()  # before the package is imported

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real drive and the metric weights; skips when it is not there."""
    path = Path(os.environ.get("FAITHFUSION_SHARED", REPOSITORY.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"needs the shared test data, not found at {path} (set FAITHFUSION_SHARED)")
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
