"""Detectors and lane nets on real pictures, and files of other networks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from data.made_up_tfrecord import message, number
from torch import Tensor

from faithfusion.evaluate.driving.boxes import Detections, box_ious
from faithfusion.evaluate.driving.detector import published_detections, square_detections
from faithfusion.evaluate.driving.lane_net import open_twinlitenet
from faithfusion.evaluate.driving.other_detectors import open_torchvision_detector, open_ultralytics_detector
from faithfusion.evaluate.driving.twinlitenet import TwinLiteNet
from faithfusion.evaluate.driving.yolox import STRIDES, decoded, letterbox, open_yolox
from faithfusion.utils.errors import InputError
from faithfusion.utils.media import read_image

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def weights(shared_data: Path) -> Path:
    folder = shared_data / "weights"
    if not (folder / "yolox_nano.onnx").is_file() or not (folder / "twinlitenet.pth").is_file():
        pytest.skip(f"needs yolox_nano.onnx and twinlitenet.pth in {folder}")
    return folder


@pytest.fixture(scope="module")
def kitti(shared_data: Path) -> Tensor:
    return read_image(shared_data / "kitti_0001" / "images" / "030_0.jpg")


def test_yolox_finds_the_parked_cars_of_a_real_picture(weights: Path, kitti: Tensor) -> None:
    found = square_detections(open_yolox(weights / "yolox_nano.onnx"), kitti)
    sure = found.where(found.scores > 0.5)
    assert (sure.width, sure.height) == (480, 320)
    assert len(sure.scores) >= 5 and set(sure.class_names) == {"car"}
    # the cars stand on the left below the horizon, one behind the other: the nearest is cut by the picture's border
    assert (sure.boxes[:, 2] < 260).all() and (sure.boxes[:, 1] > 120).all()
    nearest = sure.boxes[sure.boxes[:, 0].argmin()]
    assert nearest[0] < 3 and 50 < nearest[2] < 70 and nearest[3] > 240


def test_yolox_finds_a_car_wherever_the_picture_is_cut(weights: Path, kitti: Tensor) -> None:
    detector = open_yolox(weights / "yolox_nano.onnx")
    wide, part = detector(kitti[:, :120]), detector(kitti[30:, :120])
    back = part.boxes + torch.tensor([0.0, 30, 0, 30])
    assert wide.class_names[0] == "car" and float(box_ious(wide.boxes[:1], back).max()) > 0.75


def test_rows_of_yolox_are_in_units_of_their_cells() -> None:
    cells = sum((64 // stride) ** 2 for stride in STRIDES)
    rows = torch.zeros(cells, 85)
    place = 64 + 5  # second grid, stride 16, four cells a row: x = 1, y = 1
    rows[place, :7] = torch.tensor([0.5, 0.25, 0.0, 1.0, 0.8, 0.0, 0.5])
    boxes, scores, classes = decoded(rows, 64, 64)
    expected = [24 - 8, 20 - 8 * 2.7182818, 24 + 8, 20 + 8 * 2.7182818]
    torch.testing.assert_close(boxes[place], torch.tensor(expected))
    assert float(scores[place]) == pytest.approx(0.4) and int(classes[place]) == 1


def test_letterbox_keeps_the_ratio_of_the_sides() -> None:
    picture, scale = letterbox(torch.tensor([1.0, 0.5, 0.0]).expand(50, 100, 3), 64, 64)
    assert scale == 0.64 and (picture[0, :, 32:] == 114).all()
    assert picture[0, :, 10, 10].tolist() == pytest.approx([0.0, 127.5, 255.0])


def test_squares_join_what_they_share() -> None:
    class Marks:
        """Finds bright pixels, each a box of its own."""

        name = "marks"

        def __call__(self, image: Tensor) -> Detections:
            rows, columns = image[..., 0].nonzero().unbind(1)
            boxes = torch.stack([columns - 4, rows - 4, columns + 4, rows + 4], -1).float()
            names = ("car",) * len(boxes)
            return Detections(boxes, torch.ones(len(boxes)), names, image.shape[1], image.shape[0])

    image = torch.zeros(100, 260, 3)
    image[50, [20, 75, 130, 240]] = 1.0
    found = square_detections(Marks(), image)
    centres = (found.boxes[:, 0] + found.boxes[:, 2]) / 2
    assert sorted(centres.tolist()) == pytest.approx([x * 480 / 260 for x in (20, 75, 130, 240)])
    tall = published_detections(Marks(), torch.zeros(320, 480, 3))
    assert (tall.width, tall.height) == (480, 320) and not tall.class_names


def test_the_lane_head_marks_the_lines_of_a_real_picture(weights: Path, kitti: Tensor) -> None:
    lanes = open_twinlitenet(weights / "twinlitenet.pth")(kitti)
    assert lanes.shape == (360, 640) and 0.005 < float(lanes.float().mean()) < 0.05
    assert not lanes[:150].any()  # nothing above the horizon
    # beside the dashed line in the middle lies asphalt: what is marked is brighter than the road around it
    grey = torch.nn.functional.interpolate(kitti.mean(-1)[None, None], (360, 640), mode="bilinear")[0, 0]
    around = torch.nn.functional.max_pool2d(lanes[None].float(), 15, 1, 7)[0].bool() & ~lanes
    middle = torch.zeros_like(lanes)
    middle[200:340, 200:300] = True
    assert grey[lanes & middle].mean() > grey[around & middle].mean() + 0.05


def test_files_of_other_networks_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"FastestDet.onnx: outputs \[\[1, 85, 22, 22\]\]; expected one output"):
        open_yolox(weights / "FastestDet.onnx")
    with pytest.raises(InputError, match=r"twinlitenet.pth: cannot be opened .*; expected an ONNX model$"):
        open_yolox(weights / "twinlitenet.pth")
    with pytest.raises(InputError, match=r"yolox_nano.onnx: cannot be read .*; expected the state dict of TwinLiteNet"):
        open_twinlitenet(weights / "yolox_nano.onnx")
    with pytest.raises(InputError, match=r"no such file; expected an ONNX model$"):
        open_yolox(tmp_path / "absent.onnx")
    other = TwinLiteNet().state_dict()
    other["encoder.b3.conv.weight"] = torch.zeros(1)
    torch.save(other, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"1 tensors that differ, encoder.b3.conv.weight among them"):
        open_twinlitenet(tmp_path / "other.pth")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(InputError, match=r"list.pth: a list; expected the state dict of TwinLiteNet$"):
        open_twinlitenet(tmp_path / "list.pth")
    with pytest.raises(InputError, match=r"no such file"):
        open_twinlitenet(tmp_path / "absent.pth")


def onnx_model(inputs: list[list[int]], output: list[int]) -> bytes:
    """A network that hands on its first input, by the public field numbers of onnx.proto."""

    def value(field: int, name: str, shape: list[int]) -> bytes:
        sides = message(2, *(message(1, number(1, side)) for side in shape))
        return message(field, message(1, name.encode()), message(2, message(1, number(1, 1), sides)))

    node = message(1, message(1, b"x0"), message(2, b"y"), message(4, b"Identity"))
    given = [value(11, f"x{place}", shape) for place, shape in enumerate(inputs)]
    graph = message(7, node, message(2, b"g"), *given, value(12, "y", output))
    return number(1, 8) + graph + message(8, number(2, 13))


@pytest.mark.parametrize(
    ("inputs", "output", "expected"),
    [
        (
            [[1, 3, 64, 64]],
            [1, 3, 64, 64],
            r"outputs \[\[1, 3, 64, 64\]\]; expected one output \[1, 84, 85\], boxes of",
        ),
        (
            [[1, 3, 64, 50]],
            [1, 3, 64, 50],
            r"inputs \[\[1, 3, 64, 50\]\]; expected one picture \[1, 3, H, W\] with sides",
        ),
        ([[1, 4, 64, 64]], [1, 4, 64, 64], r"inputs .*; expected one picture"),
        ([[1, 3, 64, 64]] * 2, [1, 3, 64, 64], r"inputs .*; expected one picture"),
        ([[1, 84, 85]], [1, 84, 85], r"inputs .*; expected one picture"),
    ],
)
def test_networks_with_other_inputs_or_outputs(tmp_path: Path, inputs: list, output: list, expected: str) -> None:
    (tmp_path / "other.onnx").write_bytes(onnx_model(inputs, output))
    with pytest.raises(InputError, match=rf"other.onnx: {expected}") as caught:
        open_yolox(tmp_path / "other.onnx")
    assert "\n" not in str(caught.value)


def test_tensors_without_names_are_refused(tmp_path: Path) -> None:
    torch.save({0: torch.zeros(1)}, tmp_path / "numbers.pth")
    with pytest.raises(InputError, match=r"a dict of other things than named tensors; expected the state dict of Twin"):
        open_twinlitenet(tmp_path / "numbers.pth")
    torch.save({"state": {"a": torch.zeros(1)}}, tmp_path / "nested.pth")
    with pytest.raises(InputError, match=r"a dict of other things than named tensors"):
        open_twinlitenet(tmp_path / "nested.pth")


def test_torchvisions_networks_take_the_users_weights(tmp_path: Path) -> None:
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    name = "ssdlite320_mobilenet_v3_large"
    torch.save(ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None).state_dict(), tmp_path / "ssd.pth")
    found = open_torchvision_detector(name, tmp_path / "ssd.pth")(torch.rand(60, 100, 3))
    assert (found.width, found.height) == (100, 60)
    assert len(found.class_names) == len(found.boxes) == len(found.scores)
    with pytest.raises(InputError, match=r"^model: 'yolo'; expected one of .*ssdlite320_mobilenet_v3_large"):
        open_torchvision_detector("yolo", tmp_path / "ssd.pth")
    with pytest.raises(InputError, match=r"tensors that differ"):
        open_torchvision_detector("fasterrcnn_mobilenet_v3_large_fpn", tmp_path / "ssd.pth")


def test_ultralytics_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ultralytics", None)
    with pytest.raises(InputError, match=r"^ultralytics: not installed"):
        open_ultralytics_detector(tmp_path / "yolo11x.pt")
