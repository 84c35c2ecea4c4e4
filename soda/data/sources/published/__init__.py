"""The published sets, most of them known to torchvision by name, read from the files that are downloaded, without torch."""

from __future__ import annotations

import pyarrow as pa

from soda.data.sources.published import celeba, cifar, flowers, imagenet, posed, svhn
from soda.data.sources.published.source import Published
from soda.geometry.cameras import COLUMNS as CAMERA_COLUMNS

_CIFAR = (
    "https://www.cs.toronto.edu/~kriz/cifar.html",
    "not stated; Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
)
_CAMERAS = dict.fromkeys(CAMERA_COLUMNS, pa.float64())

PUBLISHED: dict[str, Published] = {
    "cifar10": Published(*_CIFAR, cifar.read_cifar10, "CIFAR10({root!r}, download=True)"),
    "cifar100": Published(*_CIFAR, cifar.read_cifar100, "CIFAR100({root!r}, download=True)"),
    "svhn": Published(
        "http://ufldl.stanford.edu/housenumbers/",
        "non-commercial use only; Netzer et al. 2011",
        svhn.read_svhn,
        "[SVHN({root!r}, split, download=True) for split in ('train', 'test')]",
    ),
    "flowers102": Published(
        "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
        "not stated; Nilsback and Zisserman 2008",
        flowers.read_flowers102,
        "Flowers102({root!r}, download=True)",
    ),
    "celeba": Published(
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        "non-commercial research only; Liu et al. 2015",
        celeba.read_celeba,
        "CelebA({root!r}, download=True)",
    ),
    "tiny_imagenet": Published(
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        "as ImageNet: non-commercial research only",
        imagenet.read_tiny_imagenet,
    ),
    "nmr": Published(
        "https://github.com/autonomousvision/differentiable_volumetric_rendering",
        "as ShapeNet: non-commercial research only; Kato et al. 2018",
        posed.read_nmr,
        COLUMNS=_CAMERAS,
    ),
    "srn": Published(
        "https://github.com/vsitzmann/scene-representation-networks",
        "as ShapeNet: non-commercial research only; Sitzmann et al. 2019",
        posed.read_srn,
        COLUMNS=_CAMERAS,
    ),
    "imagenet": Published("https://www.image-net.org", "non-commercial research only; Deng et al. 2009", imagenet.read_imagenet),
}
