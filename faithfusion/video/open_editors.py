"""The editors of a run by name: the video model, the single-image fixer, or one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from faithfusion.config import config_hash
from faithfusion.utils.errors import InputError
from faithfusion.video.editing.chain import ChainEditor
from faithfusion.video.editing.editor import Editor
from faithfusion.video.editing.editor_config import EditorConfig, EditorWeights
from faithfusion.video.editing.sample import check_sampler
from faithfusion.video.editing.steady import SteadyEditor
from faithfusion.video.fixer.fixer_editor import FixerEditor, FixerEditorConfig
from faithfusion.video.fixer.fixer_file import OpenedFixer, open_fixer
from faithfusion.video.weights.open_generator import (
    OpenedGenerator,
    editor_of,
    open_generator,
    sampler_of,
)


@dataclass(frozen=True)
class OpenedEditors:
    """What is used, in this order; None for what is not."""

    generator: OpenedGenerator | None
    fixer: OpenedFixer | None

    @property
    def identity(self) -> str:
        """What tells these weights from all others."""
        return config_hash(*(None if part is None else part.identity for part in (self.generator, self.fixer)))

    def require_views(self, num_views: int) -> None:
        """Raises InputError if clips with so many warped views are too few for the video model."""
        wanted = 0 if self.generator is None else self.generator.generator.config.branch.warped
        if num_views < wanted:
            raise InputError("warp.num_views", num_views, f"at least {wanted}: so many does the video model read")

    def require_sampler(self, config: EditorConfig) -> None:
        """Raises InputError for a sampler that the video model's weights do not allow."""
        if self.generator is not None:
            check_sampler(self.generator.generator, sampler_of(self.generator, config))


def open_editors(weights: EditorWeights) -> OpenedEditors:
    """Opens what is used. Raises InputError for a missing or foreign file of weights."""
    return OpenedEditors(
        generator=None if weights.use == "fixer" else open_generator(weights.video, weights.video_public),
        fixer=None if weights.use == "video" else open_fixer(weights.fixer, weights.fixer_public),
    )


def open_editor(opened: OpenedEditors, config: EditorConfig, device: torch.device | str) -> Editor:
    """The opened weights on `device` as one editor."""
    editors: list[Editor] = []
    if opened.generator is not None:
        editors.append(_steady(editor_of(opened.generator, config, device), config.steady_frames))
    if opened.fixer is not None:
        fixer = opened.fixer.fixer.to(device)
        editor = FixerEditor(fixer, FixerEditorConfig(composite=config.composite), opened.fixer.profile)
        editors.append(_steady(editor, config.fixer_steady_frames))
    return editors[0] if len(editors) == 1 else ChainEditor(editors)


def _steady(editor: Editor, num_neighbours: int) -> Editor:
    return SteadyEditor(editor, num_neighbours) if num_neighbours else editor
