"""The nets of the paper's experiments that no library here has, each written from its own paper.

`fcn8s` (Long, Shelhamer, Darrell, CVPR 2015), `unet` (Ronneberger, Fischer, Brox, MICCAI 2015, with
padding and batch normalisation), `segnet` (Badrinarayanan, Kendall, Cipolla, PAMI 2017), `frrn_a`
and `frrn_b` (Pohlen et al., CVPR 2017, table 1). PSPNet is `smp:pspnet/resnet50`. All take images
of any size and give logits of that size; `width` scales the channels, 1 as published.

FCN-8s adds up three classifiers, so it has no head: use `tap: logits`.
"""

from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

_VGG16: Final = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and convolutions of the stages of VGG-16."""
_RESIDUAL: Final = 32
"""Channels of the stream that FRRN keeps at full size."""


def fcn8s(n_classes: int, width: float = 1.0) -> nn.Module:
    """Build FCN-8s on VGG-16."""
    return _FCN8s(n_classes, width)


def unet(n_classes: int, width: float = 1.0) -> nn.Module:
    """Build the U-Net of five scales, 64 to 1024 channels."""
    return _UNet(n_classes, width)


def segnet(n_classes: int, width: float = 1.0) -> nn.Module:
    """Build SegNet: VGG-16 and its mirror image, which puts maxima back where they were."""
    return _SegNet(n_classes, width)


def frrn_a(n_classes: int, width: float = 1.0) -> nn.Module:
    """Build FRRN A, whose pooling stream goes down to a sixteenth."""
    down = ((96, 3), (192, 4), (384, 2), (384, 2))
    return _FRRN(n_classes, width, down, ((192, 2), (192, 2), (96, 2)))


def frrn_b(n_classes: int, width: float = 1.0) -> nn.Module:
    """Build FRRN B, whose pooling stream goes down to a 32nd."""
    down = ((96, 3), (192, 4), (384, 2), (384, 2), (384, 2))
    return _FRRN(n_classes, width, down, ((192, 2), (192, 2), (192, 2), (96, 2)))


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))


class _FCN8s(nn.Module):
    def __init__(self, n_classes: int, width: float) -> None:
        super().__init__()
        channels = [3, *(_scaled(n, width) for n, _ in _VGG16)]
        self.stages = nn.ModuleList(
            _stage(n_in, n_out, count)
            for (n_in, n_out), (_, count) in zip(pairwise(channels), _VGG16, strict=True)
        )
        deep = _scaled(4096, width)
        self.top = nn.Sequential(
            nn.Conv2d(channels[-1], deep, 7, padding=3),
            nn.ReLU(inplace=True),
            nn.Conv2d(deep, deep, 1),
            nn.ReLU(inplace=True),
        )
        self.classifiers = nn.ModuleList(
            nn.Conv2d(n, n_classes, 1) for n in (deep, channels[4], channels[3])
        )

    def forward(self, image: Tensor) -> Tensor:
        features, kept = image, []
        for stage in self.stages:
            features = max_pool2d(stage(features), 2, ceil_mode=True)
            kept.append(features)
        logits = self.classifiers[0](self.top(features))
        for classifier, skip in zip(self.classifiers[1:], (kept[3], kept[2]), strict=True):
            logits = _resize(logits, skip) + classifier(skip)
        return _resize(logits, image)


class _UNet(nn.Module):
    def __init__(self, n_classes: int, width: float) -> None:
        super().__init__()
        channels = [_scaled(64 * 2**scale, width) for scale in range(5)]
        self.down = nn.ModuleList(_stage(a, b, 2) for a, b in pairwise([3, *channels]))
        self.narrow = nn.ModuleList(
            nn.Conv2d(deep, shallow, 1) for shallow, deep in reversed(list(pairwise(channels)))
        )
        self.up = nn.ModuleList(_stage(2 * n, n, 2) for n in reversed(channels[:-1]))
        self.classifier = nn.Conv2d(channels[0], n_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        features, skips = image, []
        for place, stage in enumerate(self.down):
            features = stage(max_pool2d(features, 2, ceil_mode=True) if place else features)
            skips.append(features)
        skips.pop()
        for narrow, stage in zip(self.narrow, self.up, strict=True):
            skip = skips.pop()
            features = stage(torch.cat((narrow(_resize(features, skip)), skip), 1))
        return self.classifier(features)


class _SegNet(nn.Module):
    def __init__(self, n_classes: int, width: float) -> None:
        super().__init__()
        channels = [3, *(_scaled(n, width) for n, _ in _VGG16)]
        counts = [count for _, count in _VGG16]
        self.down = nn.ModuleList(
            _stage(a, b, n) for (a, b), n in zip(pairwise(channels), counts, strict=True)
        )
        # The last stage of the mirror ends in the classifier, which has no normalisation.
        mirror = list(zip(pairwise(channels), counts, strict=True))[:0:-1]
        self.up = nn.ModuleList(_stage(b, b, n - 1, out=a) for (a, b), n in mirror)
        self.last = _stage(channels[1], channels[1], 1)
        self.classifier = nn.Conv2d(channels[1], n_classes, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        features, pooled = image, []
        for stage in self.down:
            full = stage(features)
            features, places = max_pool2d(full, 2, ceil_mode=True, return_indices=True)
            pooled.append((places, full.shape[-2:]))
        for stage in (*self.up, self.last):
            places, size = pooled.pop()
            features = stage(_unpooled(features, places, size))
        return self.classifier(features)


class _FRRN(nn.Module):
    def __init__(
        self,
        n_classes: int,
        width: float,
        down: tuple[tuple[int, int], ...],
        up: tuple[tuple[int, int], ...],
    ) -> None:
        super().__init__()
        first = _scaled(48, width)
        residual = _scaled(_RESIDUAL, width)
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 5, padding=2, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(inplace=True),
        )
        self.before = nn.Sequential(*(_Residual(first) for _ in range(3)))
        self.split = nn.Conv2d(first, residual, 1)
        self.down, channels = _units(down, first, residual, width)
        self.up, channels = _units(up, channels, residual, width)
        self.merge = nn.Conv2d(channels + residual, first, 1)
        self.after = nn.Sequential(*(_Residual(first) for _ in range(3)))
        self.classifier = nn.Conv2d(first, n_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        pooling = self.before(self.stem(image))
        residual = self.split(pooling)
        sizes = []
        for stage in self.down:
            sizes.append(pooling.shape[-2:])
            pooling = max_pool2d(pooling, 2, ceil_mode=True)
            for unit in stage:
                pooling, residual = unit(pooling, residual)
        for stage in self.up:
            pooling = interpolate(pooling, sizes.pop(), mode="bilinear", align_corners=False)
            for unit in stage:
                pooling, residual = unit(pooling, residual)
        together = torch.cat((_resize(pooling, image), residual), 1)
        return self.classifier(self.after(self.merge(together)))


def _units(
    stages: tuple[tuple[int, int], ...], channels: int, residual: int, width: float
) -> tuple[nn.ModuleList, int]:
    built = nn.ModuleList()
    for wanted, count in stages:
        wide = _scaled(wanted, width)
        sizes = [channels, *([wide] * count)]
        built.append(nn.ModuleList(_FullResolution(a, b, residual) for a, b in pairwise(sizes)))
        channels = wide
    return built, channels


class _FullResolution(nn.Module):
    """FRRU: looks at both streams, passes one on and corrects the other."""

    def __init__(self, n_in: int, n_out: int, residual: int) -> None:
        super().__init__()
        self.body = _stage(n_in + residual, n_out, 2)
        self.correct = nn.Conv2d(n_out, residual, 1)

    def forward(self, pooling: Tensor, residual: Tensor) -> tuple[Tensor, Tensor]:
        size = pooling.shape[-2:]
        seen = nn.functional.adaptive_max_pool2d(residual, size)
        pooling = self.body(torch.cat((pooling, seen), 1))
        correction = interpolate(self.correct(pooling), residual.shape[-2:], mode="nearest")
        return pooling, residual + correction


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features)


def _stage(n_in: int, n_out: int, count: int, *, out: int | None = None) -> nn.Sequential:
    """Some 3x3 convolutions with normalisation; one more to `out` channels if that is given."""
    sizes = [n_in, *([n_out] * count), *([] if out is None else [out])]
    return nn.Sequential(
        *(
            layer
            for a, b in pairwise(sizes)
            for layer in (
                nn.Conv2d(a, b, 3, padding=1, bias=False),
                nn.BatchNorm2d(b),
                nn.ReLU(inplace=True),
            )
        )
    )


def _unpooled(features: Tensor, places: Tensor, size_px: torch.Size) -> Tensor:
    """Put maxima back where they were: `max_unpool2d`, which torch has not deterministic."""
    full = features.new_zeros(*features.shape[:2], size_px.numel())
    return full.scatter(2, places.flatten(2), features.flatten(2)).unflatten(2, size_px)


def _resize(features: Tensor, like: Tensor) -> Tensor:
    return interpolate(features, like.shape[-2:], mode="bilinear", align_corners=False)
