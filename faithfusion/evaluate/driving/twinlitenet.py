"""TwinLiteNet (Che et al. 2023, arXiv 2307.10705): lane lines and drivable area from one small encoder.

The encoder is ESPNet-C (Mehta et al. 2018): pyramids of dilated convolutions at 1/4 and 1/8 of the picture, with the
picture itself fed in again at every size. Position and channel attention (Fu et al. 2019) follow; two decoders bring
the result back to full size. Names of the parts are those of the published state dict.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

EPS = 1e-3
DILATIONS = (1, 2, 4, 8, 16)
WIDTHS = (16, 64, 128)
NUM_BLOCKS = (2, 3)
FEATURES = 32


def _conv(n_in: int, n_out: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A convolution without bias whose result is as large as its input over its stride."""
    return nn.Conv2d(n_in, n_out, kernel, stride, (kernel - 1) // 2 * dilation, dilation, bias=False)


def _named_conv(n_in: int, n_out: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(OrderedDict(conv=_conv(n_in, n_out, kernel, stride, dilation)))


class Normed(nn.Module):
    """Batch normalisation and a PReLU, behind a convolution or a transposed one if there is one."""

    def __init__(self, width: int, **before: nn.Module) -> None:
        super().__init__()
        for name, layer in before.items():
            self.add_module(name, layer)
        self.bn, self.act = nn.BatchNorm2d(width, eps=EPS), nn.PReLU(width)
        self._before = tuple(before)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        for name in self._before:
            x = getattr(self, name)(x)
        return self.act(self.bn(x))


def _convolved(n_in: int, n_out: int, kernel: int, stride: int = 1) -> Normed:
    return Normed(n_out, conv=_conv(n_in, n_out, kernel, stride))


def _doubled(n_in: int, n_out: int) -> Normed:
    return Normed(n_out, deconv=nn.ConvTranspose2d(n_in, n_out, 2, stride=2, bias=False))


class Pyramid(nn.Module):
    """Five dilated convolutions of a narrower input, each added to those before it (from the second on), so that the
    wide ones leave no grid. Halves the picture, or keeps its size and adds the input."""

    def __init__(self, n_in: int, n_out: int, *, halves: bool) -> None:
        super().__init__()
        narrow = n_out // len(DILATIONS)
        first = n_out - (len(DILATIONS) - 1) * narrow
        self.halves = halves
        self.c1 = _named_conv(n_in, narrow, 3, 2) if halves else _named_conv(n_in, narrow, 1)
        for dilation in DILATIONS:
            width = first if dilation == 1 else narrow
            self.add_module(f"d{dilation}", _named_conv(narrow, width, 3, dilation=dilation))
        if halves:
            self.bn, self.act = nn.BatchNorm2d(n_out, eps=EPS), nn.PReLU(n_out)
        else:
            self.bn = Normed(n_out)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        reduced = self.c1(x)
        parts = [self.d1(reduced), self.d2(reduced)]
        for dilation in DILATIONS[2:]:
            parts.append(parts[-1] + getattr(self, f"d{dilation}")(reduced))
        joined = torch.cat(parts, 1)
        return self.act(self.bn(joined)) if self.halves else self.bn(x + joined)


class PositionAttention(nn.Module):
    """Every place takes up what places like it hold."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query_conv, self.key_conv = nn.Conv2d(width, width // 8, 1), nn.Conv2d(width, width // 8, 1)
        self.value_conv = nn.Conv2d(width, width, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        query, key, value = (layer(x).flatten(2) for layer in (self.query_conv, self.key_conv, self.value_conv))
        likeness = (query.mT @ key).softmax(-1)
        return self.gamma * (value @ likeness.mT).reshape(x.shape) + x


class ChannelAttention(nn.Module):
    """Every channel takes up the channels least like it."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        flat = x.flatten(2)
        energy = flat @ flat.mT
        likeness = (energy.amax(-1, keepdim=True) - energy).softmax(-1)
        return self.gamma * (likeness @ flat).reshape(x.shape) + x


class Encoder(nn.Module):
    """From the picture to 32 channels at 1/8 of its size."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = WIDTHS
        self.level1, self.b1 = _convolved(3, first, 3, 2), _convolved(first + 3, first + 3, 3)
        self.level2_0 = Pyramid(first + 3, second, halves=True)
        self.level2 = nn.ModuleList(Pyramid(second, second, halves=False) for _ in range(NUM_BLOCKS[0]))
        self.b2 = _convolved(2 * second + 3, 2 * second + 3, 3)
        self.level3_0 = Pyramid(2 * second + 3, third, halves=True)
        self.level3 = nn.ModuleList(Pyramid(third, third, halves=False) for _ in range(NUM_BLOCKS[1]))
        self.b3 = _convolved(2 * third, FEATURES, 3)
        self.sa, self.sc = PositionAttention(FEATURES), ChannelAttention()
        self.conv_sa, self.conv_sc = _convolved(FEATURES, FEATURES, 3), _convolved(FEATURES, FEATURES, 3)
        self.classifier = _convolved(FEATURES, FEATURES, 1)

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 32 i j"]:
        half = F.avg_pool2d(image, 3, 2, 1)
        quarter = F.avg_pool2d(half, 3, 2, 1)
        start = self.level2_0(self.b1(torch.cat([self.level1(image), half], 1)))
        x = start
        for block in self.level2:
            x = block(x)
        start = self.level3_0(self.b2(torch.cat([x, start, quarter], 1)))
        x = start
        for block in self.level3:
            x = block(x)
        x = self.b3(torch.cat([start, x], 1))
        return self.classifier(self.conv_sa(self.sa(x)) + self.conv_sc(self.sc(x)))


class TwinLiteNet(nn.Module):
    """Two logits for each pixel (no, yes) of the drivable area and of lane lines. Sides are divisible by 8, colours RGB
    in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        for head in (1, 2):
            self.add_module(f"up_1_{head}", _doubled(FEATURES, FEATURES // 2))
            self.add_module(f"up_2_{head}", _doubled(FEATURES // 2, FEATURES // 4))
            self.add_module(f"classifier_{head}", _doubled(FEATURES // 4, 2))

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b 2 h w"], Float[Tensor, "b 2 h w"]]:
        x = self.encoder(image)
        area = self.classifier_1(self.up_2_1(self.up_1_1(x)))
        return area, self.classifier_2(self.up_2_2(self.up_1_2(x)))
