"""How far two sets of pictures lie apart: Frechet and kernel distance of their features, with intervals.

On Inception's features these are FID (Heusel et al. 2017) and KID (Binkowski et al. 2018). Both follow from the scalar
products of the features alone, so that a resampling of the pictures costs no covariance of 2048 features.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from faithfusion.evaluate.driving.feature_nets import FeatureNet
from faithfusion.utils.errors import InputError
from faithfusion.utils.seed import make_generator

NUM_RESAMPLINGS = 100
CONFIDENCE = 0.95


@dataclass(frozen=True)
class SetFeatures:
    """Features of a set of pictures of one size in pixels."""

    features: Float[Tensor, "n features"]
    width: int
    height: int


@dataclass(frozen=True)
class SetDistance:
    """Two distances between sets of pictures, and how they were made.

    Attributes:
        frechet: The Frechet distance of two Gaussians; too large for small sets, the more so the fewer pictures.
        frechet_interval: The 95 % interval over resampled pictures.
        kernel: The squared kernel distance without bias; may be below 0.
        kernel_interval: The 95 % interval over resampled pictures.
        frechet_name: The Frechet distance's name in tables: "FID" on Inception alone.
        kernel_name: The kernel distance's name in tables: "KID" on Inception alone.
        num_pictures: The number of pictures of the first set.
        num_recorded: The number of pictures of the second set.
        size: Width and height of the first set's pictures.
        recorded_size: Width and height of the second set's pictures.
    """

    frechet: float
    frechet_interval: tuple[float, float]
    kernel: float
    kernel_interval: tuple[float, float]
    frechet_name: str
    kernel_name: str
    num_pictures: int
    num_recorded: int
    size: tuple[int, int]
    recorded_size: tuple[int, int]


@dataclass(frozen=True)
class Products:
    """Scalar products of the features of two sets, within each and across; `places` say which picture is which, where a
    resampled set holds one several times."""

    within: Float[Tensor, "n n"]
    others: Float[Tensor, "m m"]
    across: Float[Tensor, "n m"]
    num_features: int
    places: Int[Tensor, " n"]
    other_places: Int[Tensor, " m"]

    def resampled(self, places: Int[Tensor, " n"], other_places: Int[Tensor, " m"]) -> Products:
        """Returns the products of the pictures at these places."""
        return Products(
            self.within[places][:, places],
            self.others[other_places][:, other_places],
            self.across[places][:, other_places],
            self.num_features,
            places,
            other_places,
        )


def set_features(net: FeatureNet, pictures: Iterable[Float[Tensor, "_ _ 3"]]) -> SetFeatures:
    """Returns the features of pictures in [0, 1], taken one by one. InputError if they are of several sizes, or fewer
    than two."""
    rows, sizes = [], set()
    for picture in pictures:
        rows.append(net(picture).double())
        sizes.add((picture.shape[1], picture.shape[0]))
    if len(rows) < 2 or len(sizes) != 1:
        raise InputError("pictures", f"{len(rows)} of sizes {sorted(sizes)}", "at least two pictures of one size")
    return SetFeatures(torch.stack(rows), *sizes.pop())


def set_distance(net: FeatureNet, pictures: SetFeatures, recorded: SetFeatures) -> SetDistance:
    """Returns both distances between sets whose features `net` made.

    The intervals are basic bootstrap intervals: the Frechet distance of resampled sets is too large by about as much
    again as that of the sets themselves, and so the interval lies below the distance. Frames of one clip are alike, and
    the true uncertainty is larger.
    """
    products = products_of(pictures.features, recorded.features)
    resamplings = list(_resamplings(products))
    frechet, kernel = frechet_distance(products), kernel_distance(products)
    label = "" if net.is_inception else f" on {net.name}"
    return SetDistance(
        frechet,
        _interval(frechet, [frechet_distance(part) for part in resamplings]),
        kernel,
        _interval(kernel, [kernel_distance(part) for part in resamplings]),
        "FID" if net.is_inception else f"Frechet distance{label}",
        "KID" if net.is_inception else f"Kernel distance{label}",
        len(pictures.features),
        len(recorded.features),
        (pictures.width, pictures.height),
        (recorded.width, recorded.height),
    )


def products_of(features: Float[Tensor, "n d"], others: Float[Tensor, "m d"]) -> Products:
    """Returns the scalar products of the features of two sets."""
    places, other_places = (torch.arange(len(group)) for group in (features, others))
    across = features @ others.T
    return Products(features @ features.T, others @ others.T, across, features.shape[1], places, other_places)


def frechet_distance(products: Products) -> float:
    """Returns |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Heusel et al. 2017, eq. 6).

    The trace of the root is the sum of the singular values of A^T B, where the columns of A and B are the centred
    features over the root of their number less one: C1 C2 = A A^T B B^T has the squares of these as its eigenvalues.
    """
    within, others, across = products.within, products.others, products.across
    n, m = across.shape
    between_means = within.mean() + others.mean() - 2 * across.mean()
    variances = (within.trace() - n * within.mean()) / (n - 1) + (others.trace() - m * others.mean()) / (m - 1)
    centred = across - across.mean(0) - across.mean(1, keepdim=True) + across.mean()
    root = torch.linalg.svdvals(centred).sum() / ((n - 1) * (m - 1)) ** 0.5
    return float(between_means + variances - 2 * root)


def kernel_distance(products: Products) -> float:
    """Returns the unbiased squared maximum mean discrepancy with the kernel (x.y / d + 1)^3 (Binkowski et al. 2018),
    over all pictures at once. No picture is paired with itself, nor with its copy in a resampled set."""
    within, others, across = (
        (part / products.num_features + 1) ** 3 for part in (products.within, products.others, products.across)
    )
    are_two = products.places[:, None] != products.places
    other_are_two = products.other_places[:, None] != products.other_places
    return float(within[are_two].mean() + others[other_are_two].mean() - 2 * across.mean())


def _resamplings(products: Products) -> Iterable[Products]:
    generator = make_generator(0, "picture_sets")
    n, m = products.across.shape
    for _ in range(NUM_RESAMPLINGS):
        places, other_places = (torch.randint(count, (count,), generator=generator) for count in (n, m))
        yield products.resampled(places, other_places)


def _interval(value: float, resampled: list[float]) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = torch.tensor(resampled).quantile(torch.tensor([tail, 1 - tail])).tolist()
    return 2 * value - high, 2 * value - low
