import json
from pathlib import Path

import pytest
import torch
from tiny_training import REPOSITORY

from faithfusion.utils.errors import InputError
from train_video.config import TrainConfig
from train_video.data import DataConfig
from train_video.engine import Topology, merged_deepspeed_config

TOPOLOGY = Topology(rank=0, world_size=2, device=torch.device("cpu"))


def config_of(path: Path) -> TrainConfig:
    return TrainConfig(method="codec", deepspeed=str(path), data=DataConfig(micro_batch=3))


@pytest.mark.parametrize("path", sorted((REPOSITORY / "ds_configs").glob("*.json")), ids=lambda path: path.name)
def test_shipped_files_agree_with_any_training_config(path: Path) -> None:
    merged = merged_deepspeed_config(config_of(path), TOPOLOGY)
    assert merged["train_batch_size"] == 6 and merged["train_micro_batch_size_per_gpu"] == 3
    assert merged["bf16"] == {"enabled": False}, "fp32 on CPU"
    assert merged["gradient_clipping"] == 1.0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train_micro_batch_size_per_gpu": 5}, "train_micro_batch_size_per_gpu: 5; expected 3"),
        ({"gradient_clipping": 0.5}, "gradient_clipping: 0.5"),
        ({"bf16": {"enabled": True}}, "key bf16 key enabled: True"),
        ({"optimizer": {"type": "Adam"}}, "key optimizer: present"),
        ({"fp16": {"enabled": True}}, "key fp16: present"),
    ],
)
def test_contradictions_are_refused_in_one_line(tmp_path: Path, given: dict, message: str) -> None:
    path = tmp_path / "ds.json"
    path.write_text(json.dumps(given))
    with pytest.raises(InputError, match=message) as caught:
        merged_deepspeed_config(config_of(path), TOPOLOGY)
    assert "\n" not in str(caught.value)


def test_missing_and_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="DeepSpeed"):
        merged_deepspeed_config(config_of(tmp_path / "none.json"), TOPOLOGY)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError, match="JSON"):
        merged_deepspeed_config(config_of(tmp_path / "broken.json"), TOPOLOGY)
