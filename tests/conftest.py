"""Shared fixtures. Data outside the repository is looked for in `../shared/data` or `FAITHFUSION_SHARED`."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch; spinning threads cost more than they give here

import jaxtyping
import pytest
import runtime_types
import torch

runtime_types.check_annotations()  # before the package is imported

REPOSITORY = Path(__file__).resolve().parents[1]
LATEST_START = pytest.StashKey[float]()
LONGEST = (  # files of half a minute and more, in this order: two processes that begin with them end together
    "test_refine_sequence",
    "test_check_scene",
    "test_run",
    "test_plan",
    "test_pairs",
    "test_benchmark",
    "test_eig_benchmark",
    "test_street_people",
    "test_resume",
    "test_rank",
    "test_street",
)


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    torch.manual_seed(0)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """For tests that give wrong types or shapes on purpose, to see them refused in words."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real drive and the metric weights; skips when it is not there."""
    path = Path(os.environ.get("FAITHFUSION_SHARED", REPOSITORY.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"needs the shared test data, not found at {path} (set FAITHFUSION_SHARED)")
    return path


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "tests that would start later than so many seconds from now are skipped, and named in the summary"
    parser.addoption("--start-within-s", type=float, default=float("inf"), help=text)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LATEST_START] = time.monotonic() + config.getoption("--start-within-s")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if time.monotonic() > item.config.stash[LATEST_START]:
        pytest.skip(f"left out, its time was over: {item.name}")
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
