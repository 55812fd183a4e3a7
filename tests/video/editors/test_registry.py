from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_generator import tiny_window

from faithfusion.utils.errors import InputError
from faithfusion.video.editing.chain import ChainEditor
from faithfusion.video.editing.editor import ClipFacts
from faithfusion.video.editing.editor_config import DEFAULT_COMPOSITE
from faithfusion.video.editing.steady import SteadyEditor
from faithfusion.video.editing.video_editor import VideoEditor
from faithfusion.video.editors.registry import open_each, open_editors, options_of, with_defaults
from faithfusion.video.fixer.fixer_editor import FixerEditor

WAN = {"kind": "wan", "window_frames": 5, "steady": 0}
FIXER = {"kind": "fixer", "steady": 0}
KINDS = [((WAN,), VideoEditor), ((FIXER,), FixerEditor), ((WAN, FIXER), VideoEditor)]
CLIP = ClipFacts(num_frames=5, num_views=2)
OWN = """
from __future__ import annotations

from dataclasses import dataclass

import torch

from faithfusion.video.editing.editor import EditedClip


@dataclass(frozen=True)
class Brighter:
    by: float = 0.1
    steady: int = 0

    def edit(self, window):
        edit = (window.render + self.by).clamp(0.0, 1.0)
        gain = torch.ones_like(edit[..., 0])
        return EditedClip(edit, edit, gain, gain)


not_a_class = 3
"""


@pytest.mark.parametrize(("entries", "kind"), KINDS, ids=["wan", "fixer", "both"])
def test_the_shipped_editors_repair_a_clip_that_its_views_show(entries: tuple[dict, ...], kind: type) -> None:
    window = tiny_window(5, 32, 48, warped=2)
    window.render.copy_((window.truth + 0.2 * torch.randn_like(window.truth)).clamp(0, 1))
    window.eig.expected_sq_error.fill_(0.03)
    window.warped.colors.copy_(window.truth.expand_as(window.warped.colors))
    window.warped.trust.fill_(0.9)
    editor = open_editors(entries, "cpu").editor(DEFAULT_COMPOSITE)
    assert isinstance(editor.editors[0], kind)
    edited = editor.edit(window)
    before, after = ((clip - window.truth).square().mean() for clip in (window.render, edited.frames))
    assert after < 0.97 * before  # colours are white noise, which the video model never saw
    torch.testing.assert_close(torch.lerp(window.render, edited.edit, edited.gain[..., None]), edited.frames)


def test_each_edit_is_averaged_over_as_many_frames_as_its_entry_says() -> None:
    steady = open_editors([WAN | {"steady": 3}, {"kind": "fixer"}], "cpu").editor(DEFAULT_COMPOSITE)
    assert all(isinstance(part, SteadyEditor) for part in steady.editors)
    assert [part.num_neighbours for part in steady.editors] == [3, 1]


def test_the_shipped_fixer_was_measured_behind_the_shipped_video_model(capsys: pytest.CaptureFixture[str]) -> None:
    chain = open_editors([WAN, FIXER], "cpu").editor(DEFAULT_COMPOSITE)
    assert "was not measured" not in capsys.readouterr().err
    alone = open_editors([FIXER], "cpu").editor(DEFAULT_COMPOSITE)
    assert chain.editors[1].profile != alone.editors[0].profile


def test_what_tells_weights_and_options_apart_and_what_is_refused() -> None:
    chains = {"wan": [WAN], "fixer": [FIXER], "both": [WAN, FIXER], "longer": [WAN | {"window_frames": 9}]}
    opened = open_each(chains, "cpu")
    assert len({editors.identity for editors in opened.values()}) == 4
    assert opened["wan"].identity == open_editors([with_defaults(WAN)], "cpu").identity
    assert opened["both"].parts[0] is opened["wan"].parts[0]  # the weights are read once
    with pytest.raises(InputError, match="nowhere"):
        open_editors([{"kind": "fixer", "weights": "nowhere.safetensors"}], "cpu")
    opened["wan"].check(CLIP)
    with pytest.raises(InputError, match=r"warp\.num_views"):
        opened["wan"].check(ClipFacts(num_frames=5, num_views=1))
    with pytest.raises(InputError, match="at most the clip's 5 frames"):
        opened["longer"].check(CLIP)
    with pytest.raises(InputError, match="negative prompt"):
        open_editors([WAN | {"sampler": {"guidance": 5.0}}], "cpu").check(CLIP)
    opened["fixer"].check(ClipFacts(num_frames=1, num_views=0))


def test_an_editor_from_the_users_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_editors.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    window = tiny_window(5, 32, 48)
    identities = set()
    for place in (str(tmp_path / "my_editors.py"), "my_editors"):
        for options in ({}, {"by": 0.2}):
            opened = open_editors([{"kind": f"{place}:Brighter", **options}], "cpu")
            opened.check(CLIP)
            edit = opened.editor(DEFAULT_COMPOSITE).edit(window).edit
            assert torch.equal(edit, (window.render + options.get("by", 0.1)).clamp(0.0, 1.0))
            identities.add(opened.identity)
    assert len(identities) == 2  # of options and source, not of the place
    steady = open_editors([{"kind": "my_editors:Brighter", "steady": 2}, FIXER], "cpu").editor(DEFAULT_COMPOSITE)
    assert isinstance(steady, ChainEditor) and isinstance(steady.editors[0], SteadyEditor)
    (tmp_path / "my_editors.py").write_text(OWN.replace("0.0, 1.0", "0.0, 0.9"))
    assert open_editors([{"kind": f"{tmp_path}/my_editors.py:Brighter"}], "cpu").identity not in identities


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"kind": "painter"}, "painter; expected one of wan, fixer"),
        ({"kind": "wan", "stepz": 3}, "editors, wan: stepz: no such option"),
        ({"kind": "nowhere.py:Editor"}, "no such file"),
        ({"kind": "no_such_package.module:Editor"}, "ModuleNotFoundError"),
        ({"kind": "{folder}/broken.py:Editor"}, r"broken.py:Editor cannot be imported \(NameError"),
        ({"kind": "{folder}/mine.py:Absent"}, "no such name"),
        ({"kind": "{folder}/mine.py:not_a_class"}, "no editor"),
        ({"kind": "{folder}/mine.py:dataclass"}, "no editor"),
        ({"kind": "{folder}/mine.py:Brighter", "by": "much"}, "mine.py:Brighter: by: much; expected a number"),
        ({"kind": "{folder}/mine.py:Brighter", "strength": 1}, "strength: no such option; expected one of by, steady"),
    ],
)
def test_an_entry_that_cannot_be_opened_is_refused_in_one_line(entry: dict, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("undefined\n")
    with pytest.raises(InputError, match=message) as refusal:
        options_of(entry | {"kind": entry["kind"].replace("{folder}", str(tmp_path))})
    assert "\n" not in str(refusal.value)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("result", ["window.render", "EditedClip(window.render, window.render, gain[..., None], gain)"])
def test_a_result_that_is_no_edited_clip_names_the_editor(tmp_path: Path, result: str) -> None:
    source = (
        "from dataclasses import dataclass\nfrom faithfusion.video.editing.editor import EditedClip\n\n\n"
        "@dataclass(frozen=True)\nclass Wrong:\n    def edit(self, window):\n"
        f"        gain = 0.5 * window.eig.alpha\n        return {result}\n"
    )
    (tmp_path / "wrong.py").write_text(source)
    editor = open_editors([{"kind": f"{tmp_path / 'wrong.py'}:Wrong"}], "cpu").editor(DEFAULT_COMPOSITE)
    with pytest.raises(InputError, match="editors, Wrong: "):
        editor.edit(tiny_window())
