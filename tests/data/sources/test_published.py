"""The published sets: small files of the right format give the right pictures, labels, splits and factors."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from soda.data.dataset import PreparedData
from soda.data.fetch import fetch
from soda.data.prepare import prepare
from soda.data.sources import SourceError
from tests.support.samples import MakeConfig, picture

RNG = np.random.default_rng(0)


def make(tmp_path: Path, dataset_config: MakeConfig, name: str, **settings: object) -> PreparedData:
    config = dataset_config(**{"name": name, "path": str(tmp_path / "root"), "labels": "official", "image_size": 32, **settings})
    fetch(config, tmp_path / "raw")
    prepare(config, tmp_path / "raw", tmp_path / "prepared")
    return PreparedData(tmp_path / "prepared")


def dump(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol=2))


def cifar10(root: Path, count: int = 6) -> np.ndarray:
    folder = root / "cifar-10-batches-py"
    pictures = RNG.integers(0, 256, (6 * count, 32, 32, 3), dtype=np.uint8)
    names = [f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]
    for k, name in enumerate(names):
        planes = pictures[k * count : (k + 1) * count].transpose(0, 3, 1, 2).reshape(count, -1)
        dump(folder / name, {"data": np.ascontiguousarray(planes), "labels": [n % 2 for n in range(count)]})
    dump(folder / "batches.meta", {"label_names": ["airplane", "cat"]})
    return pictures


def test_cifar10(tmp_path: Path, dataset_config: MakeConfig) -> None:
    pictures = cifar10(tmp_path / "root")
    data = make(tmp_path, dataset_config, "cifar10")
    test = data.split("test")
    assert (test.gather(np.arange(6)) == pictures[30:]).all()
    assert list(test.column("label")) == ["airplane", "cat"] * 3
    assert data.summary["splits"]["train"] + data.summary["splits"]["val"] == 30 and data.summary["splits"]["val"] > 0
    assert data.factor_names == {} and "not stated" in data.summary["licence"]


def test_a_pickle_that_wants_more_than_arrays_is_not_run(tmp_path: Path, dataset_config: MakeConfig) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    cifar10(tmp_path / "root")
    dump(tmp_path / "root/cifar-10-batches-py/batches.meta", Trap())
    with pytest.raises(SourceError, match=r"batches\.meta: damaged, or no batch of CIFAR \(it wants .*, which no batch"):
        make(tmp_path, dataset_config, "cifar10")
    assert not (tmp_path / "sprung").exists()


def test_an_altered_cifar_is_named(tmp_path: Path, dataset_config: MakeConfig) -> None:
    cifar10(tmp_path / "root")
    folder = tmp_path / "root/cifar-10-batches-py"
    dump(folder / "test_batch", {"data": np.zeros((2, 3072), np.uint8), "labels": ["0", "1"]})
    with pytest.raises(SourceError, match=r"test_batch: its labels are not one of 2 classes"):
        make(tmp_path, dataset_config, "cifar10")
    dump(folder / "batches.meta", {"names": []})
    with pytest.raises(SourceError, match=r"batches\.meta: holds no label_names"):
        make(tmp_path, dataset_config, "cifar10")


def test_cifar100_has_superclasses(tmp_path: Path, dataset_config: MakeConfig) -> None:
    folder = tmp_path / "root" / "cifar-100-python"
    for part, count in (("train", 20), ("test", 8)):
        data = RNG.integers(0, 256, (count, 3072), dtype=np.uint8)
        fine = [n % 4 for n in range(count)]
        dump(folder / part, {"data": data, "fine_labels": fine, "coarse_labels": [n // 2 for n in fine]})
    dump(folder / "meta", {"fine_label_names": ["cat", "dog", "oak", "elm"], "coarse_label_names": ["pets", "trees"]})
    data = make(tmp_path, dataset_config, "cifar100")
    assert data.factor_names == {"superclass": ["pets", "trees"]}
    test = data.split("test")
    assert list(test.column("label")[:4]) == ["cat", "dog", "oak", "elm"]
    assert test.factors["superclass"].tolist() == [0, 0, 1, 1] * 2


def test_svhn(tmp_path: Path, dataset_config: MakeConfig) -> None:
    root = tmp_path / "root"
    root.mkdir()
    pictures = {split: RNG.integers(0, 256, (32, 32, 3, 12), dtype=np.uint8) for split in ("train", "test")}
    for split, x in pictures.items():
        savemat(root / f"{split}_32x32.mat", {"X": x, "y": np.array([[1 + n % 10] for n in range(12)], np.uint8)})
    data = make(tmp_path, dataset_config, "svhn")
    test = data.split("test")
    assert (test.gather([3])[0] == pictures["test"][..., 3]).all()
    assert list(test.column("label")) == ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0", "1", "2"]
    (root / "test_32x32.mat").write_bytes(b"nonsense" * 40)
    with pytest.raises(SourceError, match=r"test_32x32\.mat: cannot be read as a MATLAB file"):
        make(tmp_path, dataset_config, "svhn")


def test_flowers102_keeps_all_of_its_three_splits(tmp_path: Path, dataset_config: MakeConfig) -> None:
    folder = tmp_path / "root" / "flowers-102"
    (folder / "jpg").mkdir(parents=True)
    for number in range(1, 31):
        picture(number, (40, 32)).save(folder / f"jpg/image_{number:05d}.jpg")
    savemat(folder / "imagelabels.mat", {"labels": np.array([[1 + n % 3 for n in range(30)]], np.uint8)})
    parts = {"trnid": range(11, 21), "valid": range(1, 11), "tstid": range(21, 31)}
    savemat(folder / "setid.mat", {key: np.array([list(numbers)]) for key, numbers in parts.items()})
    data = make(tmp_path, dataset_config, "flowers102")
    for split, key in (("train", "trnid"), ("val", "valid"), ("test", "tstid")):
        assert [int(name[6:]) for name in data.split(split).ids] == list(parts[key])
    assert list(data.split("val").column("label")[:3]) == ["001", "002", "003"]
    savemat(folder / "setid.mat", {key: np.array([[99]]) for key in parts})
    with pytest.raises(SourceError, match=r"setid\.mat: picture 99 has no label in imagelabels\.mat \(30 pictures\)"):
        make(tmp_path, dataset_config, "flowers102")


def celeba(root: Path, count: int = 12) -> Path:
    folder = root / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    names = [f"{n:06d}.jpg" for n in range(1, count + 1)]
    for n, name in enumerate(names):
        picture(n, (32, 40)).save(folder / "img_align_celeba" / name)
    rows = [f"{name}  {1 if n % 2 else -1}  {1 if n % 3 == 0 else -1}" for n, name in enumerate(names)]
    (folder / "list_attr_celeba.txt").write_text("\n".join((str(count), "Smiling Male", *rows)) + "\n")
    (folder / "list_eval_partition.txt").write_text("".join(f"{name} {n % 3}\n" for n, name in enumerate(names)))
    (folder / "identity_CelebA.txt").write_text("".join(f"{name} {n // 3}\n" for n, name in enumerate(names)))
    return folder


def test_celeba_brings_its_attributes_as_factors(tmp_path: Path, dataset_config: MakeConfig) -> None:
    folder = celeba(tmp_path / "root")
    data = make(tmp_path, dataset_config, "celeba", labels="Smiling")
    assert data.summary["splits"] == {"train": 4, "val": 4, "test": 4}
    assert data.factor_names == {"Male": ["no", "yes"], "Smiling": ["no", "yes"], "identity": ["0", "1", "2", "3"]}
    train = data.split("train")
    assert list(train.ids) == ["000001.jpg", "000004.jpg", "000007.jpg", "000010.jpg"]
    assert train.factors["Smiling"].tolist() == train.labels.tolist() == [0, 1, 0, 1]
    assert train.factors["Male"].tolist() == [1, 1, 1, 1]
    path = folder / "list_attr_celeba.txt"
    path.write_text(path.read_text().replace("000003.jpg  -1  -1", "000003.jpg  -1"))
    with pytest.raises(SourceError, match=r"list_attr_celeba\.txt, line 5: 1 values where there should be 2"):
        make(tmp_path, dataset_config, "celeba")


def test_tiny_imagenet(tmp_path: Path, dataset_config: MakeConfig) -> None:
    folder = tmp_path / "root" / "tiny-imagenet-200"
    for wnid in ("n02", "n01"):
        (folder / "train" / wnid / "images").mkdir(parents=True)
        for n in range(10):
            picture(n + 100 * int(wnid[1:]), (64, 64)).save(folder / "train" / wnid / f"images/{wnid}_{n}.JPEG")
    (folder / "val/images").mkdir(parents=True)
    for n in range(4):
        picture(900 + n, (64, 64)).save(folder / f"val/images/val_{n}.JPEG")
    (folder / "wnids.txt").write_text("n02\nn01\n")
    (folder / "words.txt").write_text("n01\tgoldfish, Carassius auratus\nn02\tcrane\nn03\tcrane\n")
    (folder / "val/val_annotations.txt").write_text("".join(f"val_{n}.JPEG\tn0{1 + n % 2}\t0\t0\t62\t62\n" for n in range(4)))
    data = make(tmp_path, dataset_config, "tiny_imagenet")
    assert data.label_names == ["n01 goldfish", "n02 crane"]
    test = data.split("test")
    assert list(test.column("label")) == ["n01 goldfish", "n02 crane"] * 2
    assert data.summary["splits"]["train"] + data.summary["splits"]["val"] == 20
    with Image.open(tmp_path / "root" / test.files[0]) as image:
        assert image.size == (64, 64)


def test_imagenet_folders(tmp_path: Path, dataset_config: MakeConfig) -> None:
    root = tmp_path / "root"
    for split, count in (("train", 12), ("val", 3)):
        for label in ("n01", "n02"):
            (root / split / label).mkdir(parents=True)
            for n in range(count):
                picture(hash((split, label, n)) % 10**6, (20, 16)).save(root / split / label / f"{label}_{n}.JPEG")
    data = make(tmp_path, dataset_config, "imagenet")
    assert data.label_names == ["n01", "n02"]
    assert list(data.split("test").column("label")) == ["n01"] * 3 + ["n02"] * 3
    assert data.summary["splits"]["train"] + data.summary["splits"]["val"] == 24
    (root / "val" / "n03").mkdir()
    with pytest.raises(SourceError, match=r"val/n03: train has no class of this name"):
        make(tmp_path, dataset_config, "imagenet")


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "svhn", "flowers102", "celeba"])
def test_what_is_not_there_is_named_with_the_way_to_get_it(tmp_path: Path, dataset_config: MakeConfig, name: str) -> None:
    (tmp_path / "root").mkdir()
    with pytest.raises(SourceError, match=r"root.*no .*; torchvision downloads it: .*download=True\)"):
        make(tmp_path, dataset_config, name)


def test_a_table_of_another_folder_is_refused(tmp_path: Path, dataset_config: MakeConfig) -> None:
    cifar10(tmp_path / "root")
    make(tmp_path, dataset_config, "cifar10")
    config = dataset_config(name="cifar10", path="elsewhere", labels="official", image_size=32)
    with pytest.raises(SourceError, match=r"fetched with dataset\.path=.*root, which is now elsewhere; fetch the data again"):
        prepare(config, tmp_path / "raw", tmp_path / "prepared")
