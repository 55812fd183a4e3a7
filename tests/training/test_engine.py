import json
from pathlib import Path

import pytest
import torch
from tiny_training import REPOSITORY
from torch import Tensor, nn

from faithfusion.training.config import TrainConfig
from faithfusion.training.ds_config import merged_deepspeed_config
from faithfusion.training.engine import Engine, checked_deepspeed_config, start_processes
from faithfusion.training.optimizer import Role
from faithfusion.training.run_config import DataConfig, OptimizerConfig
from faithfusion.training.topology import Topology
from faithfusion.utils.errors import InputError

ALONE, OF_TWO = (Topology(rank=0, world_size=size, device=torch.device("cpu")) for size in (1, 2))


def config_of(path: Path, **changes: object) -> TrainConfig:
    return TrainConfig(method="codec", deepspeed=str(path), data=DataConfig(micro_batch=3), **changes)


@pytest.mark.parametrize("path", sorted((REPOSITORY / "ds_configs").glob("*.json")), ids=lambda path: path.name)
def test_shipped_files_agree_with_any_training_config(path: Path) -> None:
    checked_deepspeed_config(config_of(path), ALONE)
    merged = merged_deepspeed_config(config_of(path), OF_TWO)
    assert merged["train_batch_size"] == 6 and merged["train_micro_batch_size_per_gpu"] == 3
    assert merged["bf16"] == {"enabled": False}, "fp32 on CPU"
    assert merged["gradient_clipping"] == 1.0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train_micro_batch_size_per_gpu": 5}, "train_micro_batch_size_per_gpu: 5; expected 3"),
        ({"gradient_accumulation_steps": 2}, "gradient_accumulation_steps: 2; expected 1"),
        ({"train_batch_size": 6}, "train_batch_size: 6; expected 3"),
        ({"gradient_clipping": 0.5}, "gradient_clipping: 0.5"),
        ({"bf16": {"enabled": True}}, "key bf16 key enabled: True"),
        ({"bf16": True}, "key bf16: True; expected a JSON object"),
        ({"optimizer": {"type": "Adam"}}, "key optimizer: present"),
        ({"fp16": {"enabled": True}}, "key fp16: present"),
        ({"zero_optimisation": {"stage": 2}}, "key zero_optimisation: present; expected one of"),
        ({"activation_checkpointing": {}}, "key activation_checkpointing"),
        ({"zero_optimization": {"stage": 7}}, "key stage: 7; expected 0, 1, 2 or 3"),
        ({"zero_optimization": 2}, "key zero_optimization: 2"),
        ({"zero_optimization": {"stage": 2, "ofload_optimizer": {}}}, "ofload_optimizer"),
        ({"zero_optimization": {"stage": 0, "offload_optimizer": {"device": "cpu"}}}, "with stage 0; expected stage 1"),
        ({"zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}}}, "with stage 2; expected stage 3"),
        ({"zero_optimization": {"stage": 3, "offload_param": {"device": "nvme"}}}, "device nvme; expected none or cpu"),
        ({"zero_optimization": {"stage": 3, "zero_hpz_partition_size": 4}}, "zero_hpz_partition_size: 4 with stage 3"),
        ({"zero_optimization": {"stage": 3, "mics_shard_size": 2}}, "MiCS"),
        ([], "a JSON list"),
    ],
)
def test_contradictions_are_refused_in_one_line(tmp_path: Path, given: object, message: str) -> None:
    path = tmp_path / "ds.json"
    path.write_text(json.dumps(given))
    with pytest.raises(InputError, match=message) as caught:
        checked_deepspeed_config(config_of(path), ALONE)
    assert "\n" not in str(caught.value) and "ds.json" in str(caught.value)


def test_precision_of_file_and_training_configuration_agree(tmp_path: Path) -> None:
    path = tmp_path / "ds.json"
    path.write_text(json.dumps({"bf16": {"enabled": True}}))
    assert merged_deepspeed_config(config_of(path, precision="bf16"), ALONE)["bf16"] == {"enabled": True}
    cuda = Topology(0, 1, torch.device("cuda", 0))
    assert merged_deepspeed_config(config_of(path), cuda)["bf16"] == {"enabled": True}
    with pytest.raises(InputError, match="expected False"):
        merged_deepspeed_config(config_of(path, precision="fp32"), cuda)


def test_missing_and_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="DeepSpeed"):
        merged_deepspeed_config(config_of(tmp_path / "none.json"), ALONE)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError, match="JSON"):
        merged_deepspeed_config(config_of(tmp_path / "broken.json"), ALONE)


class Line(nn.Module):
    """Squared distance of weight * x to 3 x."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return (self.weight * x - 3.0 * x).square().mean()


def two_roles(stage: int, folder: Path) -> Engine:
    path = folder / "ds.json"
    path.write_text(json.dumps({"zero_optimization": {"stage": stage}}))
    optimizer = OptimizerConfig(weight_decay=0.0)
    roles = {name: Role(Line(), optimizer) for name in ("student", "critic")}
    return Engine(roles, TrainConfig(method="codec", deepspeed=str(path)), start_processes())


def weights(engine: Engine) -> list[float]:
    return [float(dict(engine.weights(role))["weight"]) for role in ("student", "critic")]


def train(engine: Engine, role: str, rate: float) -> float:
    engine.backward(role, engine.forward(role, torch.tensor([1.0, 2.0])))
    return engine.step(role, rate)


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_roles_are_updated_saved_and_loaded_by_themselves(tmp_path: Path, stage: int) -> None:
    engine = two_roles(stage, tmp_path)
    assert weights(engine) == [1.0, 1.0]
    norm = train(engine, "critic", 0.5)
    assert norm == pytest.approx(2 * 2.0 * 2.5), "the gradient before clipping: 2 (3 - w) mean x^2"
    assert weights(engine) == pytest.approx([1.0, 1.5]), "Adam's first step is the rate"
    train(engine, "student", 0.25)
    assert weights(engine) == pytest.approx([1.25, 1.5])
    engine.save(tmp_path / "state")
    assert {path.name for path in (tmp_path / "state").iterdir() if path.is_dir()} == {"student", "critic"}
    for role in ("student", "critic", "critic"):
        train(engine, role, 0.1)
    expected = weights(engine)
    again = two_roles(stage, tmp_path)
    again.load(tmp_path / "state")
    assert weights(again) == pytest.approx([1.25, 1.5])
    for role in ("student", "critic", "critic"):
        train(again, role, 0.1)
    assert weights(again) == expected, "moments of the optimisers too"


def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path: Path) -> None:
    engine = two_roles(2, tmp_path)
    engine.save(tmp_path / "state")
    with pytest.raises(InputError, match="checkpoint of this run"):
        engine.load(tmp_path / "nothing")
    for path in (tmp_path / "state/critic").glob("*optim_states.pt"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="critic: cannot be read") as caught:
        engine.load(tmp_path / "state")
    assert "\n" not in str(caught.value)
