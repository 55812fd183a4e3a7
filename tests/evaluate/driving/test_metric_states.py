"""Both metrics as torchmetrics wants them: halves that are merged, copies, pickles, resets, and several processes."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from evaluate.driving.driving_cases import cubes, detections, references_of
from torchmetrics import Metric, MetricCollection

from faithfusion.evaluate.driving import NovelTrajectoryAgentIoU, NovelTrajectoryLaneIoU
from faithfusion.evaluate.driving.lane_references import LaneReference

KINDS = (NovelTrajectoryAgentIoU, NovelTrajectoryLaneIoU)


def agent_update(k: int) -> tuple:
    box = (200.0 + 3 * k, 133.0, 266.0, 186.0)
    return [detections(box), detections()][: 1 + k % 2], [references_of(cubes((0.0, 0.0, 10.0)))] * (1 + k % 2), k // 2


def lane_update(k: int) -> tuple:
    generator = torch.Generator().manual_seed(k)
    lane, found = (torch.rand(2, 360, 640, generator=generator) < 0.3).unbind(0)
    return [found], [LaneReference(lane, torch.zeros_like(lane))], k // 2


def updated(kind: type[Metric], steps: range) -> Metric:
    metric = kind()
    for k in steps:
        metric.update(*(agent_update if kind is NovelTrajectoryAgentIoU else lane_update)(k))
    return metric


def plain(metric: Metric) -> dict[str, float]:
    return {name: float(value) for name, value in metric.compute().items()}


@pytest.mark.parametrize("kind", KINDS)
def test_two_halves_merged_are_the_whole(kind: type[Metric]) -> None:
    whole, half = updated(kind, range(4)), updated(kind, range(2))
    half.merge_state(updated(kind, range(2, 4)))
    assert plain(half) == pytest.approx(plain(whole), nan_ok=True)
    assert plain(pickle.loads(pickle.dumps(whole))) == plain(whole)
    assert plain(whole.clone()) == plain(whole)
    whole.reset()
    assert all(value != value for value in plain(whole).values())
    for k in range(4):
        whole.forward(*(agent_update if kind is NovelTrajectoryAgentIoU else lane_update)(k))
    assert plain(whole) == pytest.approx(plain(updated(kind, range(4))), nan_ok=True)


def test_both_may_stand_in_a_collection() -> None:
    collection = MetricCollection({"lanes": NovelTrajectoryLaneIoU()})
    collection.update(*lane_update(0))
    assert float(collection.compute()["ntl_iou"]) == plain(updated(NovelTrajectoryLaneIoU, range(1)))["ntl_iou"]


def reduced(rank: int, file: str) -> list[dict[str, float]]:
    """What both metrics say in one of two processes, of which the second has seen no picture of lanes."""
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    try:
        agents = updated(NovelTrajectoryAgentIoU, (range(3), range(3, 4))[rank])
        lanes = updated(NovelTrajectoryLaneIoU, (range(4), range(0))[rank])
        return [plain(agents), plain(lanes)]
    finally:
        dist.destroy_process_group()


def one_process(rank: int, file: str) -> None:
    Path(f"{file}.{rank}").write_bytes(pickle.dumps(reduced(rank, file)))


def test_processes_reduce_to_the_whole(tmp_path: Path) -> None:
    """Both are new ones: another test may have made a process group in this one."""
    file, ranks = str(tmp_path / "meeting"), (0, 1)
    processes = [multiprocessing.get_context("spawn").Process(target=one_process, args=(rank, file)) for rank in ranks]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    expected = [pytest.approx(plain(updated(kind, range(4))), nan_ok=True) for kind in KINDS]
    for rank in ranks:
        assert pickle.loads(Path(f"{file}.{rank}").read_bytes()) == expected
