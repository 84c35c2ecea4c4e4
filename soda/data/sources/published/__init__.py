"""The published sets, most of them known to torchvision by name, read from the files that are downloaded, without torch."""

from __future__ import annotations

import pyarrow as pa

from soda.data.sources.published import (
    cars3d,
    celeba,
    cifar,
    dsprites,
    flowers,
    imagenet,
    mpi3d,
    posed,
    shapes3d,
    smallnorb,
    svhn,
)
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
    "shapes3d": Published(
        "https://github.com/google-deepmind/3d-shapes", "Apache-2.0; Burgess and Kim 2018", shapes3d.read_shapes3d
    ),
    "dsprites": Published(
        "https://github.com/google-deepmind/dsprites-dataset", "Apache-2.0; Matthey et al. 2017", dsprites.read_dsprites
    ),
    "mpi3d": Published(
        "https://github.com/rr-learning/disentanglement_dataset", "CC-BY-4.0; Gondal et al. 2019", mpi3d.read_mpi3d
    ),
    "smallnorb": Published(
        "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/",
        "research only; LeCun, Huang and Bottou 2004",
        smallnorb.read_smallnorb,
    ),
    "cars3d": Published(
        "http://www.scottreed.info/files/nips2015-analogy-data.tar.gz", "not stated; Reed et al. 2015", cars3d.read_cars3d
    ),
}
