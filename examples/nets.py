"""Three small segmentation nets, written out in full for the examples.

All end in one 1x1 convolution, the classifier, whose output is resized to the input's size, and
take images of any size. `depthwise` follows the idea of Fast-SCNN (depthwise separable
convolutions, a shallow path for detail and a deep one for context); `unet` is a small U-Net;
`pyramid` follows the idea of DeepLab (residual blocks, then dilated convolutions side by side).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate


def depthwise(n_classes: int) -> nn.Module:
    """Build the depthwise separable net: about 50 k parameters, 64 features at stride 4.

    Args:
        n_classes: number of classes.

    Returns:
        A module from (B, 3, H, W) float images to (B, n_classes, H, W) logits.
    """
    return _Depthwise(n_classes)


def unet(n_classes: int) -> nn.Module:
    """Build the U-Net: about 72 k parameters, 32 features at stride 2.

    Args:
        n_classes: number of classes.

    Returns:
        A module from (B, 3, H, W) float images to (B, n_classes, H, W) logits.
    """
    return _UNet(n_classes)


def pyramid(n_classes: int) -> nn.Module:
    """Build the net with a dilated pyramid: about 108 k parameters, 48 features at stride 4.

    Args:
        n_classes: number of classes.

    Returns:
        A module from (B, 3, H, W) float images to (B, n_classes, H, W) logits.
    """
    return _Pyramid(n_classes)


class _Depthwise(nn.Module):
    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.shallow = nn.Sequential(_convolution(3, 16, stride=2), _separable(16, 48, stride=2))
        self.deep = nn.Sequential(
            _separable(48, 64, stride=2),
            _separable(64, 96, stride=2),
            _separable(96, 96, dilation=2),
            _separable(96, 64, dilation=4),
        )
        self.merge = nn.Sequential(_separable(48 + 64, 64), _separable(64, 64))
        self.classifier = nn.Conv2d(64, n_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        detail = self.shallow(image)
        context = _resize(self.deep(detail), detail)
        return _resize(self.classifier(self.merge(torch.cat((detail, context), 1))), image)


class _UNet(nn.Module):
    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.stem = _convolution(3, 16, stride=2)
        self.down = nn.ModuleList(
            _convolution(n_in, n_out, stride=2) for n_in, n_out in ((16, 24), (24, 32), (32, 32))
        )
        self.bottom = _convolution(32, 32)
        self.up = nn.ModuleList(
            _convolution(n_in, n_out)
            for n_in, n_out in ((32 + 32, 32), (32 + 24, 24), (24 + 16, 32))
        )
        self.classifier = nn.Conv2d(32, n_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        features = self.stem(image)
        skips = []
        for stage in self.down:
            skips.append(features)
            features = stage(features)
        features = self.bottom(features)
        for stage in self.up:
            skip = skips.pop()
            features = stage(torch.cat((_resize(features, skip), skip), 1))
        return _resize(self.classifier(features), image)


class _Pyramid(nn.Module):
    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(3, 16, stride=2), _convolution(16, 32, stride=2))
        self.residuals = nn.ModuleList(
            nn.Sequential(_convolution(32, 32), _convolution(32, 32)) for _ in range(3)
        )
        self.branches = nn.ModuleList(_convolution(32, 16, dilation=d) for d in (1, 3, 6, 12))
        self.merge = _convolution(4 * 16, 48)
        self.classifier = nn.Conv2d(48, n_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        features = self.stem(image)
        for residual in self.residuals:
            features = features + residual(features)
        pyramid = torch.cat([branch(features) for branch in self.branches], 1)
        return _resize(self.classifier(self.merge(pyramid)), image)


def _convolution(n_in: int, n_out: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """A 3x3 convolution with normalisation and a rectifier."""
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, stride, dilation, dilation, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
    )


def _separable(n_in: int, n_out: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """A 3x3 convolution of every channel by itself, then a 1x1 one across channels."""
    return nn.Sequential(
        nn.Conv2d(n_in, n_in, 3, stride, dilation, dilation, groups=n_in, bias=False),
        nn.BatchNorm2d(n_in),
        nn.Conv2d(n_in, n_out, 1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(inplace=True),
    )


def _resize(features: Tensor, like: Tensor) -> Tensor:
    return interpolate(features, like.shape[-2:], mode="bilinear", align_corners=False)
