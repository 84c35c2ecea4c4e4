"""Models that are told of cameras: what is masked is as if it were not given, and models without cameras are what they were."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from soda.common.images import to_uint8
from soda.config import CamerasConfig, Config, ConfigError
from soda.data.augment import draw_shown
from soda.data.dataset import DatasetError, PreparedData
from soda.data.pairs import find_partners
from soda.geometry.cameras import COLUMNS, CameraError, camera, focal_length, orbit
from soda.geometry.rays import ray_grid
from soda.inference.soda import SODA
from soda.model.batch import ViewBatch
from soda.model.conditions import Context, RayInput, mask_cameras
from soda.model.encoder import map_channels
from soda.model.network import SodaNetwork, build_model
from soda.training.batches import Reader
from soda.training.held_out import read_held_out
from soda.training.step import optimise, start_run, step_loss
from soda.training.usage import measure_use, measure_use_of_pose
from tests.support.models import awake
from tests.support.prepared_factory import make_prepared
from tests.support.settings import DEFAULT, make_config

NO_RAYS = DEFAULT.model.cameras
RAYS = dataclasses.replace(NO_RAYS, rays=True, octaves=2, rgb_channels=4, pose=True)
BY_OBJECT = dataclasses.replace(DEFAULT.views.pairs, by="column", column="factor.object")
FOCAL = focal_length(45)
RING = [camera(orbit(60 * k, 20 + 5 * k, 2.8), FOCAL) for k in range(6)]


def posed(config: Config, settings: CamerasConfig = RAYS) -> Config:
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, cameras=settings),
        views=dataclasses.replace(config.views, pairs=BY_OBJECT),
    )


def numbers(count: int = 3) -> Tensor:
    return torch.tensor([each.numbers for each in RING[:count]])


def inputs(model: SodaNetwork, batch: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(batch, model.channels, model.image_size, model.image_size, generator=generator) * 2 - 1
    t = torch.full((batch,), model.schedule.num_timesteps // 2)
    return images, t, torch.randn(batch, model.latent_dim, generator=generator)


@pytest.fixture
def config(small_config: Config) -> Config:
    return posed(small_config)


@pytest.fixture
def model(config: Config) -> SodaNetwork:
    return awake(config)


def test_the_encoder_sees_colours_as_well_as_lightness_from_the_start(config: Config) -> None:
    rgb = dataclasses.replace(config, dataset=dataclasses.replace(config.dataset, channels=3))
    seen = build_model(rgb).encoder.rays.rgb.weight[:, :, 0, 0].detach()
    natural = torch.tensor([[1.0, 1.0, 1.0], [0.3, 0.0, -0.3]]).T  # a step of lightness, and one of hue as weak as they are
    lightness, hue = (seen @ natural).square().mean(0).sqrt()
    assert hue > lightness / 2
    assert build_model(config).encoder.rays.rgb.weight.shape[1] == 1 == config.dataset.channels  # grey has no colours to see


def test_without_cameras_there_is_nothing_of_them(small_config: Config) -> None:
    torch.manual_seed(0)
    plain = build_model(small_config)
    torch.manual_seed(0)
    other = build_model(posed(small_config, dataclasses.replace(NO_RAYS, source_drop=0.5, octaves=7)))
    assert list(plain.state_dict()) == list(other.state_dict())
    assert not any("rays" in key or "pose" in key for key in plain.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), other.state_dict().values(), strict=True))
    images, t, z = inputs(plain)
    for call in (lambda: plain.encode(images, numbers()), lambda: plain.predict(images, t, z, numbers())):
        with pytest.raises(ValueError, match="trained without cameras"):
            call()


def test_both_networks_see_the_camera_of_their_own_picture_alone(model: SodaNetwork) -> None:
    images, t, z = inputs(model)
    moved = numbers()
    moved[1] = torch.tensor(RING[5].numbers)
    for draw in (lambda c: model.encode(images, c), lambda c: model.predict(images, t, z, c)[1]):
        with torch.no_grad():
            difference = (draw(numbers()) - draw(moved)).flatten(1).abs().max(1).values
        assert difference[1] > 1e-4 and difference[0] < 1e-5 and difference[2] < 1e-5


def test_the_pose_reaches_the_denoiser_beside_the_rays(small_config: Config) -> None:
    model = awake(posed(small_config))
    assert model.denoiser.pose is not None and model.denoiser.rays is not None
    images, t, z = inputs(model)
    with torch.no_grad():
        before = model.predict(images, t, z, numbers())[1]
        model.denoiser.pose.mlp[-1].weight.zero_()
        model.denoiser.pose.mlp[-1].bias.zero_()
        assert (before - model.predict(images, t, z, numbers())[1]).abs().max() > 1e-4
    assert build_model(posed(small_config, dataclasses.replace(RAYS, pose=False))).denoiser.pose is None


def test_a_masked_camera_is_as_if_it_were_not_given(model: SodaNetwork) -> None:
    images, t, z = inputs(model)
    zeros = torch.zeros(3, len(COLUMNS))
    with torch.no_grad():
        torch.testing.assert_close(model.encode(images, zeros), model.encode(images))
        torch.testing.assert_close(model.predict(images, t, z, zeros)[1], model.predict(images, t, z)[1])
        mixed = torch.where(torch.tensor([True, False, True])[:, None], numbers(), zeros)
        torch.testing.assert_close(model.encode(images, mixed)[1], model.encode(images)[1])


def test_the_two_cameras_are_masked_independently_at_their_rates() -> None:
    cameras, images = torch.tensor(RING[0].numbers).expand(20_000, -1), torch.zeros(20_000, 1, 1, 1)
    batch = ViewBatch(images[:, None], images, source_cameras=cameras[:, None], target_cameras=cameras)
    settings = dataclasses.replace(NO_RAYS, rays=True, source_drop=0.1, target_drop=0.3)
    masked = mask_cameras(batch, settings, torch.Generator().manual_seed(0))
    assert masked.source_cameras is not None and masked.target_cameras is not None
    source, target = masked.source_cameras[:, 0, 0] > 0, masked.target_cameras[:, 0] > 0
    assert (~source).float().mean() == pytest.approx(0.1, abs=0.01)
    assert (~target).float().mean() == pytest.approx(0.3, abs=0.01)
    assert (~source & ~target).float().mean() == pytest.approx(0.03, abs=0.005)
    assert mask_cameras(ViewBatch.of(images), settings, torch.Generator()).target_cameras is None


def of_objects(manifest: pd.DataFrame) -> pd.DataFrame:
    """Six views an object, each from a camera of its own."""
    number = np.arange(len(manifest))
    manifest["factor.object"] = [f"o{n // 6:02d}" for n in number]
    table = [camera(orbit(7.0 * n, 30, 2.8), FOCAL).numbers for n in number]
    return manifest.assign(**dict(zip(COLUMNS, np.array(table).T, strict=True)))


@pytest.fixture
def data(config: Config, tmp_path: Path) -> PreparedData:
    sizes = {"size": config.dataset.image_size, "channels": config.dataset.channels}
    return PreparedData(make_prepared(tmp_path / "prepared", edit=of_objects, **sizes))


def reader(config: Config, data: PreparedData, batch_size: int = 4) -> Reader:
    split = data.split("train")
    partners = find_partners(data, split, config.views.pairs)
    assert partners is not None
    return Reader(split, partners, dataclasses.replace(config.train, batch_size=batch_size), posed=True)


def test_every_image_of_a_batch_comes_with_its_own_camera(config: Config, data: PreparedData) -> None:
    split = data.split("train")
    places = {image.tobytes(): k for k, image in enumerate(split.gather(np.arange(len(split))))}
    for whole in reader(several(config, 2), data, batch_size=8).stream(0, 7):
        batch = whole[2:8]  # the share of a process
        assert batch.source_cameras is not None and batch.target_cameras is not None
        assert (batch.source_cameras.shape, batch.target_cameras.shape) == ((6, 2, 16), (6, 16))
        views = [(batch.target, batch.target_cameras), *zip(batch.sources.unbind(1), batch.source_cameras.unbind(1), strict=True)]
        for images, cameras in views:
            for image, camera_of in zip(to_uint8(images), cameras.numpy(), strict=True):
                assert (split.cameras[places[image.tobytes()]] == camera_of).all()


def test_training_steps_move_what_reads_cameras_and_the_pose_gap_is_measured(config: Config, data: PreparedData) -> None:
    run = start_run(config, "key", torch.device("cpu"))
    before = {key: value.clone() for key, value in run.model.state_dict().items()}
    for batch in reader(config, data).stream(0, 3):
        assert torch.isfinite(optimise(run, run.model, config, batch))
    for key in ("encoder.rays.rgb.weight", "denoiser.rays.rgb.weight", "denoiser.pose.mlp.0.weight"):
        assert not torch.equal(before[key], run.model.state_dict()[key]), key
    held_out = read_held_out(data, config, 12)
    assert held_out.target_cameras is not None and not torch.equal(held_out.sources[:, 0], held_out.target)
    pose = measure_use_of_pose(awake(config), held_out, 0)
    assert pose["pose_gap"] != 0 and 0 < pose["view_psnr"] < 100 and measure_use(awake(config), held_out, 0).loss > 0


def test_data_without_cameras_and_moved_views_are_refused(config: Config, small_config: Config, tmp_path: Path) -> None:
    plain = PreparedData(make_prepared(tmp_path / "plain", size=config.dataset.image_size, channels=config.dataset.channels))
    single = dataclasses.replace(config, views=dataclasses.replace(config.views, pairs=DEFAULT.views.pairs))
    with pytest.raises(DatasetError, match=r"no column 'camera\.fx'"):
        read_held_out(plain, single, 4)
    flipped = dataclasses.replace(config.views.source, flip_prob=0.5)
    with pytest.raises(ConfigError, match=r"views\.source: .*a moved picture has other rays"):
        dataclasses.replace(config, views=dataclasses.replace(config.views, source=flipped))
    with pytest.raises(ConfigError, match=r"model\.cameras\.pose: True"):
        dataclasses.replace(NO_RAYS, pose=True)
    composed = make_config("model=posed", "views=object")
    assert composed.model.cameras.rays and composed.views.pairs.column == "factor.object"


@pytest.fixture
def pretrained(config: Config, model: SodaNetwork) -> SODA:
    return SODA(model, config, Path("nowhere"))


def test_novel_views_of_one_picture_and_of_two(pretrained: SODA) -> None:
    images, _, _ = inputs(pretrained.network)
    one = pretrained.novel_view(images[0], RING[0], RING[1:4], steps=3)
    assert one.shape == (3, *images.shape[1:])
    alone = pretrained.novel_view(images[:1], [RING[0]], RING[2], steps=3)
    torch.testing.assert_close(one[1], alone, atol=1e-4, rtol=0, msg="one noise for all frames")
    assert (one[0] - one[1]).abs().max() > 1e-3, "the target's camera counts"
    both = pretrained.novel_view(images[:2], RING[:2], RING[1], steps=3)
    assert both.shape == images.shape[1:] and (both - one[0]).abs().max() > 1e-3
    assert torch.allclose(both, pretrained.novel_view(images[[1, 0]], [RING[1], RING[0]], RING[1], steps=3), atol=1e-4)
    assert pretrained.novel_view(images[0], None, np.array(RING[1].numbers), steps=3).shape == images.shape[1:]


@pytest.mark.parametrize("size", [32, 128])
def test_the_first_layer_tells_the_rays_of_a_pixel_apart_in_bf16(size: int) -> None:
    """What it sees of a direction d, sin 8d and cos 8d of the finest octave, still places it within a small part of a pixel."""
    torch.manual_seed(0)
    layer, exact = RayInput(3, dataclasses.replace(RAYS, octaves=4)), ray_grid(numbers(6).double(), size)[:, 3:]
    with torch.autocast("cpu", torch.bfloat16):
        seen = layer(torch.zeros(6, 3, size, size), numbers(6)).detach()
    assert seen.dtype == torch.bfloat16
    sin, cos = seen.double()[:, -6:-3], seen.double()[:, -3:]
    turns = (8 * exact - torch.atan2(sin, cos)) / (2 * torch.pi)
    away = (turns - turns.round()) * 2 * torch.pi / 8
    assert float(away.norm(dim=1).square().mean().sqrt()) * FOCAL * size < 0.1


@pytest.mark.parametrize(
    ("sources", "target", "message"),
    [
        (RING[:2], RING[0], "source_poses: 2 cameras for 1 views"),
        (RING[0], np.eye(4), r"target_pose: cameras are \(B, 16\), intrinsics and pose, not \(4, 4\)"),
        ([np.eye(4)], RING[0], "source_poses, camera 0: a ndarray is no camera: give pose and intrinsics"),
        ([RING[0], None], RING[0], "source_poses, camera 1: None is no camera"),
        (None, 3, "target_pose, camera 0: a int is no camera"),
    ],
)
def test_wrong_cameras_are_one_clear_error(pretrained: SODA, sources: object, target: object, message: str) -> None:
    images, _, _ = inputs(pretrained.network)
    with pytest.raises(CameraError, match=message):
        pretrained.novel_view(images[0], sources, target)  # type: ignore[arg-type]


def test_a_pose_that_is_no_rotation_and_a_model_without_cameras_are_named(pretrained: SODA, small_config: Config) -> None:
    images, _, _ = inputs(pretrained.network)
    bent = np.array(RING[0].numbers)
    bent[4] = 2.0
    with pytest.raises(CameraError, match="target_pose, camera 0: the pose is no rotation"):
        pretrained.novel_view(images[0], RING[0], bent)
    plain = SODA(awake(small_config), small_config, Path("nowhere"))
    with pytest.raises(ValueError, match="trained without cameras"):
        plain.novel_view(images[0], None, RING[0])


def several(config: Config, sources: int = 3) -> Config:
    return dataclasses.replace(
        config, views=dataclasses.replace(config.views, pairs=dataclasses.replace(BY_OBJECT, sources=sources))
    )


def test_further_sources_are_of_the_object_and_never_the_target(config: Config, data: PreparedData) -> None:
    split = data.split("train")
    partners = find_partners(data, split, several(config).views.pairs)
    assert partners is not None
    objects, generator = split.column("factor.object"), np.random.default_rng(0)
    seen = set()
    for _ in range(20):
        pairs = partners.draw_pairs(np.arange(len(partners)), generator)
        assert pairs.sources.shape == (len(partners), 3) and pairs.styles is None
        for each in pairs.sources.T:
            assert (objects[each] == objects[pairs.targets]).all() and not (each == pairs.targets).any()
        seen |= set(zip(pairs.targets.tolist(), pairs.sources[:, 1].tolist(), strict=True))
    assert len(seen) > 4 * len(partners), "they are drawn anew"
    batch = reader(several(config), data).at(0)
    assert batch.sources.shape == (4, 3, *split.gather([0]).shape[:0:-1])


def test_the_latent_of_several_views_is_the_mean_of_those_that_count(model: SodaNetwork) -> None:
    images, _, _ = inputs(model)
    views, cameras = torch.stack((images, images.flip(0)), 1), torch.stack((numbers(), numbers().flip(0)), 1)
    each = [model.encode(views[:, v], cameras[:, v]) for v in (0, 1)]
    torch.testing.assert_close(model.encode_views(views, cameras)[0], (each[0] + each[1]) / 2)
    shown = torch.tensor([[True, False], [True, True], [False, True]])
    z, context = model.encode_views(views, cameras, shown)
    torch.testing.assert_close(z, torch.stack((each[0][0], (each[0][1] + each[1][1]) / 2, each[1][2])))
    assert context is None
    counts = draw_shown(9000, 3, torch.Generator().manual_seed(0)).sum(1)
    assert counts.min() == 1 and all((counts == n).float().mean() == pytest.approx(1 / 3, abs=0.02) for n in (1, 2, 3))


def test_a_map_as_z_sees_its_camera_and_goes_with_attention(config: Config) -> None:
    as_map = dataclasses.replace(config, model=dataclasses.replace(config.model, encoder_head="map"))
    encoder = awake(as_map).encoder
    images = torch.rand(3, config.dataset.channels, 16, 16) * 2 - 1
    z = encoder(images, numbers())
    assert z.shape == (3, 16) and not torch.equal(z, encoder(images))
    with_map, features = encoder.with_map(images, numbers())
    assert torch.equal(with_map, z) and features.shape[1] == map_channels(as_map.model)


def test_a_further_source_counts_in_training_and_brings_its_camera(config: Config, data: PreparedData) -> None:
    model, several_sources = awake(config).eval(), several(config, 2)
    batch = reader(several_sources, data).at(0)
    assert batch.source_cameras is not None and batch.source_cameras.shape == (4, 2, 16)
    changes = {
        "images": batch.sources * torch.tensor([1.0, -1.0])[:, None, None, None],
        "cameras": batch.source_cameras * torch.tensor([1.0, 0.0])[:, None],
    }
    others = [
        dataclasses.replace(batch, sources=changes["images"]),
        dataclasses.replace(batch, source_cameras=changes["cameras"]),
    ]
    with torch.no_grad():
        losses = [float(step_loss(model, several_sources, each, 3)) for each in (batch, *others)]
    assert len(set(losses)) == 3 and np.isfinite(losses).all()


@pytest.fixture
def attending(config: Config) -> SodaNetwork:
    cameras = dataclasses.replace(RAYS, view_attention=(0, 1))
    return awake(dataclasses.replace(config, model=dataclasses.replace(config.model, cameras=cameras, head_dim=8)))


def test_a_denoiser_that_attends_sees_the_views_beyond_their_latent(attending: SodaNetwork) -> None:
    images, t, z = inputs(attending)
    views = torch.stack((images, images.flip(0)), 1)
    _, context = attending.encode_views(views, torch.stack((numbers(), numbers().flip(0)), 1))
    assert context is not None and context.shown.all()

    def draw(seen: Context | None) -> Tensor:
        with torch.no_grad():
            return attending.predict(images, t, z, numbers(), seen)[1]

    whole, nothing = draw(context), draw(None)
    assert (whole - nothing).abs().max() > 1e-4
    torch.testing.assert_close(draw(context.where(torch.tensor([False] * 3))), nothing)
    half = draw(context.where(torch.tensor([True, False, True])))
    torch.testing.assert_close(half[[0, 2]], whole[[0, 2]])
    torch.testing.assert_close(half[1], nothing[1])
    order = torch.randperm(context.tokens.shape[1])
    torch.testing.assert_close(draw(Context(context.tokens[:, order], context.shown[:, order])), whole, atol=1e-4, rtol=1e-4)


def test_a_view_that_does_not_count_is_not_attended_to(attending: SodaNetwork) -> None:
    images, t, z = inputs(attending)
    shown = torch.tensor([[True, False]] * 3)

    def draw(second: Tensor) -> Tensor:
        with torch.no_grad():
            _, context = attending.encode_views(torch.stack((images, second), 1), None, shown)
            return attending.predict(images, t, z, numbers(), context)[1]

    torch.testing.assert_close(draw(images.flip(0)), draw(torch.zeros_like(images)))


def test_a_model_that_attends_trains_and_turns_objects(config: Config, data: PreparedData, attending: SodaNetwork) -> None:
    cameras = dataclasses.replace(RAYS, view_attention=(0, 1))
    config = several(dataclasses.replace(config, model=dataclasses.replace(config.model, cameras=cameras, head_dim=8)))
    run = start_run(config, "key", torch.device("cpu"))
    before = {key: value.clone() for key, value in run.model.state_dict().items()}
    for batch in reader(config, data).stream(0, 3):
        assert torch.isfinite(optimise(run, run.model, config, batch))
    moved = [key for key, value in run.model.state_dict().items() if "_views" in key and not torch.equal(before[key], value)]
    assert any("kv" in key for key in moved)
    assert measure_use_of_pose(attending, read_held_out(data, config, 12), 0)["pose_gap"] != 0
    pictures, _, _ = inputs(attending)
    turned = SODA(attending, config, Path("nowhere"), batch_size=2).novel_view(pictures[:2], RING[:2], RING[:5], steps=2)
    assert turned.shape == (5, *pictures.shape[1:]) and turned.isfinite().all()
    with pytest.raises(ConfigError, match=r"model\.cameras\.view_attention"):
        make_config("model=posed", "model.cameras.view_attention=[7]", "views=object")


def test_a_turn_has_one_noise_whatever_the_sampler(pretrained: SODA) -> None:
    images, _, _ = inputs(pretrained.network)
    network = pretrained.network
    network.diffusion = dataclasses.replace(network.diffusion, sampler="ddpm", eta=1.0)
    turn = pretrained.novel_view(images[0], RING[0], [RING[1]] * 3, steps=4)
    torch.testing.assert_close(turn[1], turn[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(turn[2], turn[0], atol=1e-5, rtol=0)
    other = pretrained.novel_view(images[0], RING[0], RING[1], steps=4, seed=1)
    assert (other - turn[0]).abs().max() > 1e-2, "the noise of another seed is another"


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_refused(pretrained: SODA, weight: float) -> None:
    images, _, _ = inputs(pretrained.network)
    with pytest.raises(ValueError, match=r"pose_guidance: (nan|inf) is not possible"):
        pretrained.novel_view(images[0], RING[0], RING[1], steps=2, pose_guidance=weight)


def test_pose_guidance_stresses_the_camera(model: SodaNetwork, pretrained: SODA) -> None:
    images, t, z = inputs(model)
    at = numbers()
    with torch.no_grad():
        known, unknown = (model.predict(images, t, z, each)[1] for each in (at, None))
        twice = model.denoise_with(z, cameras=at, pose_scale=2.0)(images, t)[1]
        torch.testing.assert_close(twice, 2 * known - unknown, atol=1e-4, rtol=1e-4)
        zero = model.predict(images, t, torch.zeros_like(z), at)[1]
        both = model.denoise_with(z, cameras=at, pose_scale=2.0, guidance_scale=3.0)(images, t)[1]
        torch.testing.assert_close(both, known + (known - unknown) + 2 * (known - zero), atol=1e-4, rtol=1e-4)
    plain, stressed = (pretrained.novel_view(images[0], RING[0], RING[1], steps=2, pose_guidance=w) for w in (1.0, 3.0))
    assert (plain - stressed).abs().max() > 1e-3
