"""No refinement against weights x editors, on streets with truth, at shifts to both sides: one command, one table.

python tools/ablation.py --config configs/evaluate/ablation.yaml            the table, streets 100 to 119
python tools/ablation.py --config configs/evaluate/ablation_dev.yaml        while developing, streets 0 to 9
Writes ablation.md and ablation.json into the folder. A killed run continues with the same command, and the same
command in a second shell shares the streets.
"""

import functools
import sys
from pathlib import Path

from faithfusion.config import parse_config
from faithfusion.utils.progress import say


def main(argv: list[str]) -> None:
    from faithfusion.evaluate.ablation.config import AblationConfig

    config = parse_config(AblationConfig, argv, description=__doc__)

    from faithfusion.evaluate.ablation.run import check_inputs, run_ablation
    from faithfusion.utils.device import choose_device
    from faithfusion.video.editing.chain import ChainEditor
    from faithfusion.video.editing.editor import Editor
    from faithfusion.video.open_editors import OpenedEditors, open_editor, open_editors

    check_inputs(config)
    refine, use = config.refine, config.editors[0] if len(config.editors) == 1 else "both"
    opened = open_editors(refine.editor_weights(use))
    opened.require_views(refine.warp.num_views)
    opened.require_sampler(refine.editor)

    @functools.cache  # weights are placed on the device once, also for two rows that use them
    def editor(name: str) -> Editor:
        if name == "both":
            return ChainEditor([editor("video"), editor("fixer")])
        chosen = OpenedEditors(opened.generator, None) if name == "video" else OpenedEditors(None, opened.fixer)
        return open_editor(chosen, config.editor_of(name), choose_device("auto"))

    page = run_ablation(config, editor, identity=opened.identity, command=" ".join(["python", *sys.argv]))
    print(Path(page).read_text())
    say(f"table: {page}")
