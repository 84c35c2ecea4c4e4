"""The one-step regressor, the nearest objects' mean and what tells sharp from blurred."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from soda.common.images import to_float
from soda.data.dataset import PreparedData
from soda.data.pairs import find_partners
from soda.evaluation.baselines.lookup import Lookup, choose_k, lookups
from soda.evaluation.baselines.one_step import draw_one_step, train_one_step
from soda.evaluation.novel_tasks import Views, choose_tasks
from soda.evaluation.sharpness import band_energies, detail, detail_distance
from soda.inference.drawer import Drawer
from soda.model.network import SodaNetwork, build_model
from soda.training.fit import Keeping
from tests.support.objects import OBJECTS, VIEWS, of_objects
from tests.support.prepared_factory import make_prepared
from tests.support.settings import make_config

CPU = torch.device("cpu")
POSED = ("model=posed", "views=object", "model.cameras.octaves=2", "model.encoder_width=8", "dataset.channels=3")
CONFIG = make_config(*POSED, "train.batch_size=16", "train.lr=0.004", "train.warmup_images=0", "views.recolour=0")


def flat(levels: np.ndarray, folder: Path) -> PreparedData:
    """All views of an object are of its one lightness, (OBJECTS,), but for a little noise: equal views make no pair."""
    grain = np.random.default_rng(0).integers(-1, 2, (OBJECTS * VIEWS, 16, 16, 3))
    pixels = np.repeat(levels, VIEWS)[:, None, None, None] + grain
    return PreparedData(make_prepared(folder, pixels=pixels.astype(np.uint8), edit=of_objects))


@pytest.fixture(scope="module")
def greys(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return flat(np.linspace(20, 235, OBJECTS).astype(np.uint8), tmp_path_factory.mktemp("greys") / "data")


def test_the_regressor_learns_to_draw_its_source_again_and_is_kept(greys: PreparedData, tmp_path: Path) -> None:
    """The views of an object are alike: who uses z draws them, and another's source gives another's lightness."""
    train = greys.split("train")
    partners = find_partners(greys, train, CONFIG.views.pairs)
    assert partners is not None
    keeping = Keeping(tmp_path / "runs", greys.version)
    network = train_one_step(CONFIG, train, partners, images=16 * 60, device=CPU, keeping=keeping)
    assert not network.training and network.diffusion.prediction == "x_0"
    first = build_model(CONFIG)
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in first.parameters()), "the same size"
    views = torch.stack([to_float(train.gather([0])), to_float(train.gather([len(train) - 1]))])  # (2, 1, C, S, S)
    cameras = torch.from_numpy(train.cameras[[0, len(train) - 1]])
    drawn = draw_one_step(Drawer(network, batch_size=1), views, cameras[:, None], cameras)
    assert drawn.shape == (2, 3, 16, 16)
    errors = (drawn - views[:, 0]).square().mean((1, 2, 3))
    swapped = (drawn - views[:, 0].flip(0)).square().mean((1, 2, 3))
    assert (errors < 0.2 * swapped).all(), "it draws what its own source says"
    again = train_one_step(CONFIG, train, partners, images=16 * 60, device=CPU, keeping=keeping)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    assert len(list((tmp_path / "runs").iterdir())) == 1, "it was kept, and not trained again"


class Light(SodaNetwork):
    """z is the lightness of the picture on a circle, so that the objects nearest in z are those of nearest lightness."""

    def encode(self, images, cameras=None):  # type: ignore[no-untyped-def]
        level = images.mean((1, 2, 3))
        z = torch.zeros(len(images), self.latent_dim)
        z[:, 0], z[:, 1] = level.sin(), level.cos()
        return z


def test_the_mean_of_the_nearest_objects_is_that_of_the_chosen_number(tmp_path: Path) -> None:
    """Held-out objects lie halfway between two training objects: the mean of two is right, of one or four it is not."""
    levels = np.full(OBJECTS, 90.0)
    levels[[0, 2, 4, 6, 8]] = 40, 60, 140, 160, 240  # the other training objects are variants of these
    levels[9:] = 50, 150, 50, 150, 50, 150  # three of validation, three of test
    data = flat(levels, tmp_path / "data")
    drawer = Drawer(Light(model=CONFIG.model, diffusion=CONFIG.diffusion, image_size=16, channels=3).eval())
    bank = Lookup.of(drawer, Views(data.split("train")))
    val, test = (choose_tasks(data.split(name), targets=2, sources=2, seed=0) for name in ("val", "test"))
    assert val is not None and test is not None
    k = choose_k(bank, val)
    assert k == 2
    nearest = bank.at(test.split.cameras[test.targets])
    answers = lookups(bank, nearest, test, (1, 2), k)
    off = {name: np.abs(images.astype(float) - test.split.gather(test.targets)) for name, images in answers.items()}
    assert off["nearest_mean"].max() <= 3 < 7 <= off["nearest_object"].min(), "the grain is one either way"
    assert off["mean_view"].mean() > 20
    assert lookups(bank, nearest, test, (1, 2)).keys() == answers.keys() - {"nearest_mean"}


def noise(count: int, seed: int) -> np.ndarray:
    """Images with detail in every band, more in some than in others: (count, 32, 32, 3) uint8."""
    generator = np.random.default_rng(seed)
    strength = generator.uniform(0.5, 2, (count, 1, 1, 1))
    coarse = np.kron(generator.normal(0, 6, (count, 8, 8, 3)), np.ones((1, 4, 4, 1)))
    fine = generator.normal(0, 18, (count, 32, 32, 3))
    return (128 + strength * (coarse + fine)).clip(0, 255).astype(np.uint8)


def blurred(images: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    return torch.nn.functional.avg_pool2d(x, 3, 1, 1).permute(0, 2, 3, 1).round().to(torch.uint8).numpy()


def test_bands_of_a_checkerboard_are_known() -> None:
    checks = np.indices((32, 32)).sum(0) % 2 * 255
    images = np.broadcast_to(checks[None, :, :, None], (2, 32, 32, 1)).astype(np.uint8)
    np.testing.assert_allclose(band_energies(images), [[0.25, 0, 0]] * 2, atol=1e-6)
    stripes = np.broadcast_to((np.arange(32) // 4 % 2 * 255)[None, :, None, None], (1, 32, 32, 1)).astype(np.uint8)
    np.testing.assert_allclose(band_energies(stripes), [[0, 0, 0.25]], atol=1e-6)
    assert band_energies(np.zeros((1, 9, 9, 1), np.uint8)).shape == (1, 1)


def test_the_unpaired_figures_know_blurred_from_sharp_where_psnr_prefers_the_blurred() -> None:
    """Of images drawn apart from the truth, the blurred ones are nearer in squared error: that is what PSNR rewards."""
    truth, real, sharp = noise(200, 0), noise(200, 1), noise(200, 2)
    soft = blurred(sharp)
    errors = [np.square(each.astype(float) - truth).mean() for each in (sharp, soft)]
    assert errors[1] < errors[0]
    assert detail(sharp, truth) == pytest.approx(1, abs=0.15) and detail(soft, truth) < 0.3
    assert detail_distance(truth, real) < 0.05 and detail_distance(sharp, real) < 0.05 < 0.2 < detail_distance(soft, real)


def test_a_configuration_of_before_has_no_regressor() -> None:
    assert replace(CONFIG.evaluate, view_regressor_images=0).view_regressor_images == 0
    with pytest.raises(ValueError, match=r"evaluate.view_regressor_images: -1 is not possible"):
        replace(CONFIG.evaluate, view_regressor_images=-1)
