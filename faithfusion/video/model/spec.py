"""How a backbone and its codec cut a clip: into latent cells, and those into tokens."""

from __future__ import annotations

from dataclasses import dataclass

from faithfusion.utils.errors import InputError

TRUST_CHANNELS = 2
"""Mean and smallest trust in a warped view, beside its latent."""


@dataclass(frozen=True)
class BackboneSpec:
    """The sizes that everything between pixels and tokens depends on. The defaults are those of Wan2.1; Wan2.2-TI2V-5B
    has 48 channels and a stride of 16.

    Attributes:
        channels: channels of a latent.
        patch: latent cells along each side of a token.
        stride: pixels along each side of a latent cell.
        chunk_frames: frames per latent frame; the first latent frame holds frame 0 alone.
    """

    channels: int = 16
    patch: int = 2
    stride: int = 8
    chunk_frames: int = 4

    @property
    def token_pixels(self) -> int:
        """Pixels along each side of a token."""
        return self.patch * self.stride

    @property
    def eig_channels(self) -> int:
        """Channels of the EIG block: the unshuffled maximum, mean, maximum, share above the threshold, coverage."""
        return self.stride**2 + 4

    @property
    def vace_channels(self) -> int:
        """Channels of VACE's context: inactive and reactive latents, and the unshuffled mask."""
        return 2 * self.channels + self.stride**2

    @property
    def warped_channels(self) -> int:
        """Channels of one warped view: its latent, and mean and smallest trust."""
        return self.channels + TRUST_CHANNELS

    def latent_size(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """Latent frames, rows and columns of a clip. Raises InputError for a clip that is no whole number of tokens."""
        if frames < 1 or (frames - 1) % self.chunk_frames:
            steps = ", ".join(str(1 + self.chunk_frames * k) for k in (0, 1, 2, 12))
            raise InputError("frames", frames, f"{self.chunk_frames}k + 1 frames ({steps}, ...)")
        for name, side in (("height", height), ("width", width)):
            if side < self.token_pixels or side % self.token_pixels:
                raise InputError(name, side, f"a multiple of {self.token_pixels} pixels")
        return (frames - 1) // self.chunk_frames + 1, height // self.stride, width // self.stride
