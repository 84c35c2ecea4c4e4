"""FID and LPIPS with weights from files: the real networks with weights drawn at random, and files that are wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from soda.evaluation.inception import Inception
from soda.evaluation.lpips import Lpips
from soda.evaluation.measures.published import MEASURE
from soda.evaluation.registry import require_declared
from soda.evaluation.weights import WeightsError, require_weights
from tests.support.prepared_factory import make_prepared
from tests.support.settings import make_config
from tests.support.shapes import bars_and_dots, context_of

CPU = torch.device("cpu")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def drawn(network: nn.Module) -> dict[str, Tensor]:
    """Weights at random, of a size at which activations neither fade nor burst: what a file may hold, in half precision."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, tensor in network.state_dict().items():
        fan = tensor[0].numel() if tensor.ndim > 1 else 0
        random = torch.randn(tensor.shape, generator=generator)
        state[name] = (random * (2 / fan) ** 0.5 if fan else (random * 0.1 + ("var" in name or "weight" in name)).abs()).half()
    return state


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of both Inceptions, of AlexNet's features and VGG's."""
    from torchvision.models import alexnet, inception_v3, vgg16

    folder, found = tmp_path_factory.mktemp("weights"), {}
    for name, classes in (("inception", 1008), ("torchvision", 1000)):
        network = inception_v3(weights=None, aux_logits=False, init_weights=False, num_classes=classes)
        found[name] = folder / f"{name}.pth"
        torch.save({k: v for k, v in drawn(network).items() if not k.endswith("num_batches_tracked")}, found[name])
    with torch.device("meta"):
        backbones = {"alex": alexnet(weights=None), "vgg": vgg16(weights=None)}
    for name, network in backbones.items():
        found[name] = folder / f"{name}.pth"
        torch.save({f"features.{key}": value for key, value in drawn(network.features).items()}, found[name])
    return found


def images(count: int = 3, size: int = 16, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def test_torchvisions_weights_give_torchvisions_features(files: dict[str, Path]) -> None:
    from torchvision.models import inception_v3

    inception = Inception(str(files["torchvision"]), CPU, batch_size=2)
    assert inception.name == "fid_torchvision"
    whole = inception_v3(weights=None, aux_logits=False, init_weights=False).eval()
    whole.load_state_dict({k: v.float() for k, v in torch.load(files["torchvision"], weights_only=True).items()}, strict=False)
    seen: list[Tensor] = []
    whole.avgpool.register_forward_hook(lambda module, given, out: seen.append(out.flatten(1)))
    given = images(3)
    with torch.no_grad():
        x = torch.from_numpy(given).permute(0, 3, 1, 2).float() / 127.5 - 1
        whole(F.interpolate(x, (299, 299), mode="bilinear", align_corners=False))
    found = inception.describe(given)
    assert found.shape == (3, 2048) and found.std() > 0
    np.testing.assert_allclose(found, seen[0].numpy(), rtol=1e-3, atol=1e-3 * np.abs(found).max())


def test_fids_own_weights_pool_without_the_borders_padding_and_by_a_maximum_at_the_end(files: dict[str, Path]) -> None:
    inception = Inception(str(files["inception"]), CPU)
    assert inception.name == "fid"
    network: Any = inception.network
    for name, channels, pool in (
        ("Mixed_5b", 192, lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)),
        ("Mixed_7b", 1280, lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)),
        ("Mixed_7c", 2048, lambda x: F.max_pool2d(x, 3, 1, 1)),
    ):
        block, x = getattr(network, name), torch.rand(1, channels, 5, 5, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            last = block(x)[:, -block.branch_pool.conv.out_channels :]
            # The branch without its hook: convolution, norm and ReLU of what it pools.
            wanted = F.relu(block.branch_pool.bn(block.branch_pool.conv(pool(x))))
        torch.testing.assert_close(last, wanted)
    sets = images(6, seed=1), images(6, seed=2)
    assert inception.distance(sets[0], sets[0]) == pytest.approx(0, abs=1e-2 * inception.distance(*sets))
    assert inception.distance(sets[0], (sets[0] * 0.3).astype(np.uint8)) > 0
    grey = images(2, channels=1)
    np.testing.assert_allclose(inception.describe(grey), inception.describe(np.repeat(grey, 3, axis=3)), atol=1e-4)


@pytest.mark.parametrize("kind", ["alex", "vgg"])
def test_lpips_is_that_of_torchmetrics_with_the_same_weights(kind: str, files: dict[str, Path]) -> None:
    """Against another implementation, the linear layers being the authors'."""
    from torchmetrics.functional.image.lpips import _LPIPS

    lpips = Lpips(str(files[kind]), None, CPU, batch_size=2)
    assert lpips.name == {"alex": "lpips", "vgg": "lpips_vgg"}[kind]
    theirs = _LPIPS(pretrained=True, net=kind, pnet_rand=True)
    state = {name.split(".", 1)[1]: each.float() for name, each in torch.load(files[kind], weights_only=True).items()}
    own = {name: state[name.split(".", 1)[1]] for name in theirs.net.state_dict()}  # slice1.0.weight
    theirs.net.load_state_dict(own)
    first, second = images(3, 40), images(3, 40, seed=1)
    x, y = (torch.from_numpy(each).permute(0, 3, 1, 2).float() / 127.5 - 1 for each in (first, second))
    found = lpips.distances(first, second)
    np.testing.assert_allclose(found, theirs(x, y).flatten().numpy(), rtol=1e-3)
    assert (found > 0).all() and lpips.distances(first, first).max() < 1e-6
    assert lpips.distances(images(2, 16, 1), images(2, 16, 1, seed=1)).shape == (2,)


def test_linear_layers_of_ones_own_are_taken(files: dict[str, Path], tmp_path: Path) -> None:
    widths = (64, 192, 384, 256, 256)
    state = {f"lin{k}.model.1.weight": torch.full((1, width, 1, 1), 1.0 / width) for k, width in enumerate(widths)}
    torch.save(state, tmp_path / "even.pth")
    torch.save({**state, "lin2.model.1.weight": torch.ones(1, 8, 1, 1)}, tmp_path / "narrow.pth")
    one, other = images(2, 32), images(2, 32, seed=1)
    even = Lpips(str(files["alex"]), str(tmp_path / "even.pth"), CPU)
    assert not np.allclose(even.distances(one, other), Lpips(str(files["alex"]), None, CPU).distances(one, other))
    with pytest.raises(WeightsError, match=r"lpips_linear: .*narrow.pth: lin2.model.1.weight has shape \(1, 8, 1, 1\).*384"):
        Lpips(str(files["alex"]), str(tmp_path / "narrow.pth"), CPU)
    with pytest.raises(WeightsError, match=r"lpips_linear: .*alex.pth has no tensor lin0.model.1.weight"):
        Lpips(str(files["alex"]), str(files["alex"]), CPU)


def test_files_that_are_wrong_are_named_with_what_is_wrong(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"evaluate.inception_weights: .*gone.pth is no file"):
        Inception(str(tmp_path / "gone.pth"), CPU)
    (tmp_path / "text.pth").write_text("weights")
    with pytest.raises(WeightsError, match=r"inception_weights: .*text.pth cannot be read as weights"):
        Inception(str(tmp_path / "text.pth"), CPU)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match=r"list.pth holds a list, not a state dict"):
        Inception(str(tmp_path / "list.pth"), CPU)
    torch.save(nn.Linear(2, 2), tmp_path / "pickled.pth")
    with pytest.raises(WeightsError, match=r"pickled.pth cannot be read as weights"):
        Inception(str(tmp_path / "pickled.pth"), CPU)
    with pytest.raises(WeightsError, match=r"alex.pth has no tensor fc.weight; an Inception v3 has 1,008"):
        Inception(str(files["alex"]), CPU)
    state = torch.load(files["inception"], weights_only=True)
    name = "Mixed_6b.branch_pool.conv.weight"
    for wrong, told in ((state[name][:5], r"has shape \(5, 768, 1, 1\); it must be \(192, 768, 1, 1\)"), (None, "has no tensor")):
        torch.save({k: v for k, v in {**state, name: wrong}.items() if v is not None}, tmp_path / "cut.pth")
        with pytest.raises(WeightsError, match=rf"inception_weights: .*cut.pth.*{told}|no tensor {name}"):
            Inception(str(tmp_path / "cut.pth"), CPU)
    torch.save({**state, name: state[name] * float("nan")}, tmp_path / "nan.pth")
    with pytest.raises(WeightsError, match=rf"{name} holds values that are not finite"):
        Inception(str(tmp_path / "nan.pth"), CPU)
    with pytest.raises(WeightsError, match=r"lpips_weights: .*inception.pth has no tensor features.0.weight"):
        Lpips(str(files["inception"]), None, CPU)


def test_the_published_names_appear_with_weights_alone(files: dict[str, Path], tmp_path: Path) -> None:
    config = make_config("dataset.channels=3", "evaluate.reconstructions=4", "evaluate.fid_images=4", "evaluate.batch_size=16")
    context = context_of(config, make_prepared(tmp_path / "data", pixels=bars_and_dots(), labels=None), tmp_path)
    assert MEASURE.compute is not None
    assert MEASURE.compute(context) == {}
    context.config = replace(config.evaluate, inception_weights=str(files["inception"]), lpips_weights=str(files["alex"]))
    found = MEASURE.compute(context)
    assert set(found) == {"fid", "fid_train", "fid_paired", "fid_pictures", "lpips", "lpips_mean_picture", "notes"}
    require_declared({"published": found})
    assert all(np.isfinite(found[key]) and found[key] > 0 for key in found if key != "notes")
    context.config = replace(config.evaluate, lpips_weights=str(tmp_path / "gone.pth"))
    with pytest.raises(WeightsError, match=r"evaluate.lpips_weights: .*gone.pth is no file"):
        MEASURE.compute(context)
    with pytest.raises(WeightsError, match=r"evaluate.lpips_weights: .*gone.pth is no file"):
        require_weights(context.config)
    require_weights(config.evaluate)
