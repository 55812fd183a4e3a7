"""Published values of the protocol on eight Waymo clips, for orientation: nothing here was measured by this code.

Source: table 1 of the FaithFusion paper (arXiv 2511.21113), which quotes the other methods' papers. FID depends on the
set of recorded pictures and on their size, which nobody has published, so values of several papers do not compare.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedRow:
    """A method at a shift to the side in metres: NTA-IoU, NTL-IoU in percent, and FID."""

    method: str
    distance_m: float
    nta_iou: float
    ntl_iou: float
    fid: float


PUBLISHED = (
    PublishedRow("OmniRe", 3.0, 0.424, 51.73, 188.42),
    PublishedRow("FreeVS", 3.0, 0.505, 56.84, 104.23),
    PublishedRow("ReconDreamer", 3.0, 0.539, 54.58, 93.56),
    PublishedRow("ReconDreamer++", 3.0, 0.572, 57.06, 72.02),
    PublishedRow("Difix3D+", 3.0, 0.578, 56.94, 84.12),
    PublishedRow("FaithFusion", 3.0, 0.581, 57.67, 71.51),
    PublishedRow("OmniRe", 6.0, 0.423, 49.08, 191.00),
    PublishedRow("FreeVS", 6.0, 0.465, 55.37, 121.44),
    PublishedRow("ReconDreamer", 6.0, 0.467, 52.58, 149.19),
    PublishedRow("ReconDreamer++", 6.0, 0.489, 56.57, 111.92),
    PublishedRow("Difix3D+", 6.0, 0.504, 53.77, 120.24),
    PublishedRow("FaithFusion", 6.0, 0.517, 55.78, 107.47),
)
