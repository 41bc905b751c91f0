"""ESPNetv2 for semantic segmentation, written out from its paper.

Mehta, Rastegari, Shapiro, Hajishirzi, "ESPNetv2: A Light-weight, Power Efficient, and General
Purpose Convolutional Neural Network", CVPR 2019, arXiv 1811.11431. The encoder halves the image
four times and sees the image anew at each of the last three; the decoder climbs back to half the
image's size with an efficient pyramid pooling at every step (Mehta, Hajishirzi, Rastegari,
"DiCENet: Dimension-wise Convolutions for Efficient Networks", arXiv 1906.03516).

Modules are named as in the published Cityscapes checkpoints (EdgeNets), which load strictly. What
names and shapes do not tell was measured on CamVid images: of the dilations tried these give the
best zero-shot mIoU, and with these scales the batch statistics of the pyramid come nearest to the
running ones in the checkpoints. That corners are aligned is the least certain: it fits the
statistics of the smallest maps, while mIoU prefers the opposite by half a point.

Shapes: B images of H x W pixels; h x w is the size of a feature map. Any H and W will do: a size
that cannot be halved is rounded up on the way down, and met again on the way up.
"""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate
from math import ceil, gcd
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, interpolate

N_GROUPS: Final = 4
"""Branches of an EESP unit, and groups of its pointwise convolutions."""
WIDE: Final = (1, 2, 3, 4)
"""Dilations of the branches: a receptive field of 9 x 9."""
NARROW: Final = (1, 1, 2, 3)
"""The same on the smallest map, where the paper lets the receptive field shrink to 7 x 7."""
DECODER_CHANNELS: Final = (64, 48, 32)
"""Channels on the way up, at strides 16, 8 and 4, whatever the width."""
POOLING_CHANNELS: Final = 10
POOLING_SCALES: Final = (2.0, 1.5, 1.0, 0.5, 0.1)
SMALLEST_POOLED_PX: Final = 5
"""A tenth of a small map would otherwise be a pixel or two."""


def espnetv2(width: float, n_classes: int) -> nn.Module:
    """Build the network: 80 k parameters (width 0.5) to 790 k (2.0), 10 features at stride 2.

    Args:
        width: factor of the encoder's channels; published are 0.5, 1.0, 1.5 and 2.0.
        n_classes: number of classes; the Cityscapes checkpoints have 20, the trainIds 0..18 and
            background.

    Returns:
        A module from (B, 3, H, W) float images to (B, n_classes, H, W) logits.
    """
    return _ESPNetv2(width, n_classes)


class _ESPNetv2(nn.Module):
    def __init__(self, width: float, n_classes: int) -> None:
        super().__init__()
        n_2, n_4, n_8, n_16 = _encoder_channels(width)
        up_16, up_8, up_4 = DECODER_CHANNELS
        self.base_net = _Encoder(width)
        self.bu_dec_l1 = _PyramidPooling(n_16, up_16)
        self.merge_enc_dec_l2 = _Weighted(n_8, up_16)
        self.bu_br_l2 = _normalised(up_16)
        self.bu_dec_l2 = _PyramidPooling(up_16, up_8)
        self.merge_enc_dec_l3 = _Weighted(n_4, up_8)
        self.bu_br_l3 = _normalised(up_8)
        self.bu_dec_l3 = _PyramidPooling(up_8, up_4)
        self.merge_enc_dec_l4 = _Weighted(n_2, up_4)
        self.bu_br_l4 = _normalised(up_4)
        self.bu_dec_l4 = _PyramidPooling(up_4, n_classes, is_classifier=True)

    def forward(self, image: Tensor) -> Tensor:
        at_2, at_4, at_8, at_16 = self.base_net(image)
        features = self.bu_dec_l1(at_16)
        features = self.bu_br_l2(_add_resized(self.merge_enc_dec_l2(at_8), features))
        features = self.bu_dec_l2(features)
        features = self.bu_br_l3(_add_resized(self.merge_enc_dec_l3(at_4), features))
        features = self.bu_dec_l3(features)
        features = self.bu_br_l4(_add_resized(self.merge_enc_dec_l4(at_2), features))
        return _resize(self.bu_dec_l4(features), image.shape[-2:])


class _Encoder(nn.Module):
    """Feature maps at strides 2, 4, 8 and 16."""

    def __init__(self, width: float) -> None:
        super().__init__()
        n_2, n_4, n_8, n_16 = _encoder_channels(width)
        self.level1 = _convolution(3, n_2, 3, stride=2)
        self.level2_0 = _Halving(n_2, n_4)
        self.level3_0 = _Halving(n_4, n_8)
        self.level3 = nn.Sequential(*(_Residual(n_8, WIDE) for _ in range(3)))
        self.level4_0 = _Halving(n_8, n_16)
        self.level4 = nn.Sequential(*(_Residual(n_16, NARROW) for _ in range(7)))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        image_4 = _halve(_halve(image))
        image_8 = _halve(image_4)
        at_2 = self.level1(image)
        at_4 = self.level2_0(at_2, image_4)
        at_8 = self.level3(self.level3_0(at_4, image_8))
        at_16 = self.level4(self.level4_0(at_8, _halve(image_8)))
        return at_2, at_4, at_8, at_16


class _EESP(nn.Module):
    """Extremely efficient spatial pyramid (figure 1c): project, dilate, fuse, expand."""

    def __init__(
        self, n_in: int, n_out: int, dilations: tuple[int, ...], *, stride: int = 1
    ) -> None:
        super().__init__()
        n_branch = n_out // N_GROUPS
        self.proj_1x1 = _convolution(n_in, n_branch, 1, groups=N_GROUPS)
        self.spp_dw = nn.ModuleList(
            _named(conv=_depthwise(n_branch, stride=stride, dilation=dilation))
            for dilation in dilations
        )
        self.br_after_cat = _named(bn=nn.BatchNorm2d(n_out), act=nn.PReLU(n_out))
        self.conv_1x1_exp = _named(
            conv=nn.Conv2d(n_out, n_out, 1, groups=N_GROUPS, bias=False),
            bn=nn.BatchNorm2d(n_out),
        )
        # Strided units do not run it, but their checkpoints carry it (decayed to zero).
        self.module_act = nn.PReLU(n_out)

    def forward(self, features: Tensor) -> Tensor:
        projected = self.proj_1x1(features)
        # Hierarchical feature fusion: each branch adds those of smaller dilation to its own, so
        # that a large dilation leaves no grid of holes.
        fused = torch.cat(tuple(accumulate(branch(projected) for branch in self.spp_dw)), 1)
        expanded: Tensor = self.conv_1x1_exp(self.br_after_cat(fused))
        return expanded


class _Residual(_EESP):
    """An EESP unit around which its input is led."""

    def __init__(self, n_channels: int, dilations: tuple[int, ...]) -> None:
        super().__init__(n_channels, n_channels, dilations)

    def forward(self, features: Tensor) -> Tensor:
        activated: Tensor = self.module_act(features + super().forward(features))
        return activated


class _Halving(nn.Module):
    """Strided EESP unit (figure 2): beside it average pooling, on top the image itself."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.eesp = _EESP(n_in, n_out - n_in, WIDE, stride=2)
        self.inp_reinf = nn.Sequential(
            _convolution(3, 3, 3),
            _named(conv=nn.Conv2d(3, n_out, 1, bias=False), bn=nn.BatchNorm2d(n_out)),
        )
        self.act = nn.PReLU(n_out)

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        """Halve (B, n, 2h, 2w) features, with the (B, 3, h, w) image in support."""
        halved = torch.cat((_halve(features), self.eesp(features)), 1)
        activated: Tensor = self.act(halved + self.inp_reinf(image))
        return activated


class _PyramidPooling(nn.Module):
    """Efficient pyramid pooling: one depthwise convolution a scale, merged channel by channel."""

    def __init__(self, n_in: int, n_out: int, *, is_classifier: bool = False) -> None:
        super().__init__()
        n_merged = POOLING_CHANNELS * len(POOLING_SCALES)
        self.projection_layer = _named(cbr=_unnamed(_convolution(n_in, POOLING_CHANNELS, 1)))
        self.stages = nn.ModuleList(_depthwise(POOLING_CHANNELS) for _ in POOLING_SCALES)
        merge = _convolution(n_merged, POOLING_CHANNELS, 3, groups=POOLING_CHANNELS)
        self.merge_layer = nn.Sequential(
            _named(br=_normalised(n_merged)),
            _Shuffle(),
            _named(cbr=_unnamed(merge)),
            nn.Conv2d(POOLING_CHANNELS, n_out, 1, bias=is_classifier),
        )
        self.br = nn.Identity() if is_classifier else _named(br=_normalised(n_out))

    def forward(self, features: Tensor) -> Tensor:
        projected = self.projection_layer(features)
        pyramid = [
            _at_scale(projected, stage, scale)
            for stage, scale in zip(self.stages, POOLING_SCALES, strict=True)
        ]
        merged: Tensor = self.br(self.merge_layer(torch.cat(pyramid, 1)))
        return merged


class _Shuffle(nn.Module):
    """Bring what the scales say of one channel together, for the grouped convolution after it."""

    def forward(self, pyramid: Tensor) -> Tensor:
        by_scale = pyramid.unflatten(1, (len(POOLING_SCALES), POOLING_CHANNELS))
        shuffled: Tensor = by_scale.transpose(1, 2).flatten(1, 2)
        return shuffled


class _Weighted(nn.Module):
    """Encoder features for the decoder, each channel weighted by what the whole image holds."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.wt_layer = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(n_in, n_out, 1, bias=False), nn.Sigmoid()
        )
        self.expansion_layer = _named(
            cbr=_unnamed(_convolution(n_in, n_out, 3, groups=gcd(n_in, n_out)))
        )

    def forward(self, features: Tensor) -> Tensor:
        weighted: Tensor = self.expansion_layer(features) * self.wt_layer(features)
        return weighted


def _encoder_channels(width: float) -> tuple[int, int, int, int]:
    """Channels at strides 2, 4, 8 and 16."""
    return int(32 * min(width, 1)), int(64 * width), int(128 * width), int(256 * width)


def _at_scale(features: Tensor, convolution: nn.Module, scale: float) -> Tensor:
    """Convolve (B, n, h, w) features at another size, and come back to this one."""
    height_px, width_px = features.shape[-2:]
    size_px = height_px, width_px
    height_px, width_px = (max(ceil(side * scale), SMALLEST_POOLED_PX) for side in size_px)
    scaled_px = height_px, width_px
    if scale < 1:
        return _resize(convolution(adaptive_avg_pool2d(features, scaled_px)), size_px)
    if scale > 1:
        return adaptive_avg_pool2d(convolution(_resize(features, scaled_px)), size_px)
    convolved: Tensor = convolution(features)
    return convolved


def _convolution(
    n_in: int, n_out: int, side: int, *, stride: int = 1, groups: int = 1
) -> nn.Module:
    return _named(
        conv=nn.Conv2d(n_in, n_out, side, stride, side // 2, groups=groups, bias=False),
        bn=nn.BatchNorm2d(n_out),
        act=nn.PReLU(n_out),
    )


def _depthwise(n_channels: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(
        n_channels, n_channels, 3, stride, dilation, dilation, groups=n_channels, bias=False
    )


def _normalised(n_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(n_channels), nn.PReLU(n_channels))


def _named(**parts: nn.Module) -> nn.Sequential:
    """Parts in sequence, called as the checkpoints call them."""
    return nn.Sequential(OrderedDict(parts))


def _unnamed(parts: nn.Module) -> nn.Sequential:
    """The same parts numbered: so the decoder's checkpoints call them, unlike the encoder's."""
    return nn.Sequential(*parts.children())


def _halve(features: Tensor) -> Tensor:
    return avg_pool2d(features, 3, stride=2, padding=1)


def _add_resized(detail: Tensor, coarse: Tensor) -> Tensor:
    return detail + _resize(coarse, detail.shape[-2:])


def _resize(features: Tensor, size_px: Sequence[int]) -> Tensor:
    return interpolate(features, tuple(size_px), mode="bilinear", align_corners=True)
