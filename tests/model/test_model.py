"""Properties of the method: sections, masks, guidance, the bottleneck."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from torch import Tensor, nn

from soda.config import Config
from soda.model.batch import LossDraws, ViewBatch
from soda.model.blocks import Attention, TimeEmbedding
from soda.model.encoder import build_encoder, last_layer
from soda.model.modulation import Modulation, cut_sections, draw_keep, mask_sections
from soda.model.network import SodaNetwork, build_model
from tests.support.models import awake
from tests.support.settings import make_config

SMALL = make_config().model


def inputs(model: SodaNetwork, batch: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (batch, model.channels, model.image_size, model.image_size)
    t = torch.randint(1, model.schedule.num_timesteps + 1, (batch,), generator=generator)
    return torch.rand(shape, generator=generator) * 2 - 1, t, torch.randn(shape, generator=generator)


@pytest.fixture
def model(small_config: Config) -> SodaNetwork:
    return awake(small_config)


def test_the_unet_is_symmetric_and_its_sections_follow_from_it(small_config: Config) -> None:
    for overrides in ([], ["model.blocks_per_level=2", "model.latent_dim=21"], ["model.channel_mult=[1]", "model.latent_dim=16"]):
        config = make_config(*overrides)
        unet = build_model(config).denoiser
        assert len(unet.down) == len(unet.up) == config.model.sections - 1 == unet.sections - 1
        modulated = [m for m in unet.modules() if isinstance(m, Modulation)]
        assert len(modulated) == 2 * (unet.sections - 1) + 1


def test_masks_stop_gradients_to_their_sections_and_no_others(model: SodaNetwork) -> None:
    x, t, noise = inputs(model)
    for dropped in (set(c) for n in range(model.sections + 1) for c in combinations(range(model.sections), n)):
        keep = torch.tensor([[float(k not in dropped) for k in range(model.sections)]] * len(x))
        z = torch.randn(len(x), model.latent_dim, generator=torch.Generator().manual_seed(2)).requires_grad_()
        model.loss(ViewBatch.of(x), LossDraws(t, noise, keep), encoded=(z, None)).backward()
        for k, gradient in enumerate(cut_sections(z.grad, model.sections).unbind(1)):
            assert (gradient == 0).all() if k in dropped else (gradient != 0).any(), (dropped, k)


def test_masks_are_each_pictures_own(model: SodaNetwork) -> None:
    x, t, noise = inputs(model)
    keep = torch.ones(3, model.sections)
    keep[1] = 0
    z = torch.randn(3, model.latent_dim).requires_grad_()
    model.loss(ViewBatch.of(x), LossDraws(t, noise, keep), encoded=(z, None)).backward()
    assert (z.grad[1] == 0).all() and (z.grad[0] != 0).any() and (z.grad[2] != 0).any()


def test_each_section_modulates_its_pair_and_nothing_else(model: SodaNetwork) -> None:
    seen: dict[str, Tensor] = {}
    blocks = {f"down {i}": b for i, b in enumerate(model.denoiser.down)} | {f"up {i}": b for i, b in enumerate(model.denoiser.up)}
    blocks["middle"] = model.denoiser.middle
    for name, block in blocks.items():
        block.register_forward_pre_hook(lambda _, args, name=name: seen.__setitem__(name, args[2]))
    x, t, _ = inputs(model)
    z = torch.arange(model.latent_dim).float().repeat(3, 1)
    model.denoiser(x, t / 50, z)
    for k, section in enumerate(cut_sections(z, model.sections).unbind(1)):
        names = {name for name, given in seen.items() if torch.equal(given, section)}
        assert names == ({"middle"} if k == model.sections - 1 else {f"down {k}", f"up {k}"})


def test_pairs_work_at_the_same_resolution(model: SodaNetwork) -> None:
    sizes: dict[str, int] = {}
    for side in ("down", "up"):
        for i, block in enumerate(getattr(model.denoiser, side)):
            block.register_forward_hook(lambda _, __, out, name=f"{side} {i}": sizes.__setitem__(name, out.shape[-1]))
    x, t, _ = inputs(model)
    model.denoiser(x, t / 50, torch.zeros(3, model.latent_dim))
    assert all(sizes[f"down {i}"] == sizes[f"up {i}"] for i in range(model.sections - 1))


def test_without_layer_modulation_every_layer_sees_all_of_z() -> None:
    model = awake(make_config("model.layer_modulation=false", "model.section_drop=0", "model.latent_dim=15"))
    x, t, noise = inputs(model)
    widths = {m.from_latent.in_features for m in model.modules() if isinstance(m, Modulation)}
    assert widths == {15} and torch.isfinite(model.loss(ViewBatch.of(x), LossDraws(t, noise)))


def test_a_latent_that_sections_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.latent_dim: 30 .* 4 sections"):
        make_config("model.latent_dim=30")
    with pytest.raises(ValueError, match="30 cannot be cut in 4"):
        cut_sections(torch.zeros(1, 30), 4)


def test_modulation_begins_as_a_plain_group_norm() -> None:
    layer = Modulation(16, replace(SMALL, time_dim=4))
    h = torch.randn(2, 16, 4, 4)
    torch.testing.assert_close(layer(h, torch.randn(2, 4), torch.randn(2, 4)), nn.functional.group_norm(h, 8))


def test_modulation_is_the_papers_formula() -> None:
    layer = Modulation(8, replace(SMALL, time_dim=4))
    for linear in (layer.from_time, layer.from_latent):
        nn.init.normal_(linear.weight)
        nn.init.normal_(linear.bias)
    h, time, section = torch.randn(2, 8, 3, 3), torch.randn(2, 4), torch.randn(2, 4)
    t_s, t_b = layer.from_time(time)[:, :, None, None].chunk(2, 1)
    z_s, z_b = layer.from_latent(section)[:, :, None, None].chunk(2, 1)
    wanted = (1 + z_s) * ((1 + t_s) * nn.functional.group_norm(h, 8) + t_b) + z_b
    torch.testing.assert_close(layer(h, time, section), wanted, atol=1e-5, rtol=1e-4)


def test_layer_masks_are_drawn_at_their_rates() -> None:
    keep = draw_keep(20_000, replace(SMALL, section_drop=0.1, latent_drop=0.2), torch.Generator().manual_seed(0))
    assert float(keep.mean()) == pytest.approx(0.9 * 0.8, abs=0.01)
    assert float((keep.sum(1) == 0).float().mean()) == pytest.approx(0.2, abs=0.01)
    assert draw_keep(100, replace(SMALL, section_drop=0, latent_drop=0), torch.Generator()).all()


def test_masking_all_sections_is_the_zero_latent() -> None:
    assert not mask_sections(torch.randn(2, 8), torch.zeros(2, 4)).any()


def test_guidance_of_one_is_none_and_of_zero_forgets_z(model: SodaNetwork) -> None:
    x, t, _ = inputs(model)
    z = torch.randn(3, model.latent_dim)
    plain, zero = model.predict(x, t, z)[1], model.predict(x, t, torch.zeros_like(z))[1]
    torch.testing.assert_close(model.denoise_with(z, guidance_scale=1.0)(x, t)[1], plain)
    torch.testing.assert_close(model.denoise_with(z, guidance_scale=0.0)(x, t)[1], zero, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        model.denoise_with(z, guidance_scale=3.0)(x, t)[1], zero + 3 * (plain - zero), atol=1e-4, rtol=1e-4
    )


def test_a_section_of_zeros_is_not_guided_by_its_weight(model: SodaNetwork) -> None:
    x, t, _ = inputs(model)
    z = torch.randn(3, model.latent_dim)
    z[:, : model.latent_dim // model.sections] = 0
    guided = model.denoise_with(z, section_scales={0: 5.0})(x, t)[1]
    torch.testing.assert_close(guided, model.predict(x, t, z)[1], atol=1e-4, rtol=1e-4)
    stressed = model.denoise_with(z, section_scales={1: 5.0})(x, t)[1]
    assert not torch.allclose(stressed, guided, atol=1e-3)


def test_guidance_by_section_asks_for_what_training_shows(model: SodaNetwork) -> None:
    x, t, _ = inputs(model)
    z, seen = torch.randn(3, model.latent_dim), []
    model.denoiser.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[2]))
    guided = {k: model.denoise_with(z, section_scales={k: 0.0})(x, t)[1] for k in range(model.sections)}
    asked = {tuple((cut_sections(each, model.sections)[0] != 0).any(1).tolist()) for each in seen}
    rates = replace(SMALL, section_drop=0.02, latent_drop=0.05)
    drawn = draw_keep(200_000, rates, torch.Generator().manual_seed(0)).bool()
    for mask in asked:  # model=tiny shows each of them in more than 1 % of its draws
        assert (drawn == torch.tensor(mask)).all(1).double().mean() > 0.01, mask
    for k, eps in guided.items():  # a weight of 0 leaves the section out
        keep = torch.ones(3, model.sections)
        keep[:, k] = 0
        torch.testing.assert_close(eps, model.predict(x, t, mask_sections(z, keep))[1], atol=1e-5, rtol=1e-4)


def test_guiding_a_section_that_is_not_there_is_refused(model: SodaNetwork) -> None:
    with pytest.raises(ValueError, match="section 4 does not exist"):
        model.denoise_with(torch.zeros(1, model.latent_dim), section_scales={4: 2.0})


def test_time_embedding_tells_times_apart() -> None:
    embedding = TimeEmbedding(32)
    embedded = embedding(torch.tensor([0.001, 0.002, 0.5, 1.0])).detach()
    far = torch.cdist(embedded, embedded)
    assert float(far[2, 3]) > 0.01 and float(far[0, 1]) > 0.001


def test_attention_does_not_run_across_the_batch() -> None:
    layer = Attention(16, replace(SMALL, head_dim=8))
    x = torch.randn(3, 16, 4, 4)
    changed = x.clone()
    changed[2] += 1
    torch.testing.assert_close(layer(x)[:2], layer(changed)[:2])


@pytest.mark.parametrize("name", ["tiny", "resnet18", "resnet50"])
@pytest.mark.parametrize(("stem", "size", "channels"), [("small", 32, 1), ("large", 32, 3), ("auto", 128, 3)])
def test_encoders_make_latents_at_every_stem(name: str, stem: str, size: int, channels: int) -> None:
    config = make_config(f"model.encoder={name}", f"model.encoder_stem={stem}")
    encoder = build_encoder(config.model, image_size=size, channels=channels).eval()
    with torch.no_grad():
        assert encoder(torch.randn(2, channels, size, size)).shape == (2, 16)


@pytest.mark.parametrize(("size", "channels"), [(32, 1), (128, 3)])
def test_a_map_as_z_is_one_feature_at_one_place_a_component(size: int, channels: int) -> None:
    config = make_config("model.encoder_head=map", "model.latent_dim=128")
    torch.manual_seed(0)
    encoder = build_encoder(config.model, image_size=size, channels=channels).eval()
    seen: list[Tensor] = []
    encoder.stages.register_forward_hook(lambda _, __, out: seen.append(out))
    z = encoder(torch.randn(2, channels, size, size))
    assert z.shape == (2, 128) and (z >= 0).all() and z.any()
    changed, cell = seen[0].clone(), seen[0].shape[-1] // 4
    changed[..., cell : 2 * cell, 3 * cell :] += torch.rand(changed.shape[1], 1, 1)  # row 1, column 3 of the 4 x 4
    moved = (encoder.head(encoder.squeeze(changed)) != z).any(0).view(8, 4, 4)
    assert moved[:, 1, 3].any() and moved.sum() == moved[:, 1, 3].sum()
    assert isinstance(last_layer(encoder), nn.Identity)  # its input, the features before z, are z


def test_small_stem_keeps_the_resolution_that_the_large_one_gives_up() -> None:
    sides = {}
    for stem in ("small", "large"):
        encoder = build_encoder(
            make_config("model.encoder=resnet18", f"model.encoder_stem={stem}").model, image_size=32, channels=3
        )
        encoder.layer1.register_forward_hook(lambda _, __, out, stem=stem: sides.__setitem__(stem, out.shape[-1]))
        encoder.eval()(torch.zeros(1, 3, 32, 32))
    assert sides == {"small": 32, "large": 8}


def test_the_loss_starts_at_the_size_of_its_target(small_config: Config) -> None:
    torch.manual_seed(0)
    model = build_model(small_config)  # its output is zero
    x, t, noise = inputs(model, batch=64)
    abar = model.schedule.abar(t, x).float()
    v = abar.sqrt() * noise - (1 - abar).sqrt() * x
    assert model.loss(ViewBatch.of(x), LossDraws(t, noise)).item() == pytest.approx(float(v.pow(2).mean()), rel=1e-4)


def test_a_style_gives_its_fine_sections_and_the_source_the_others(model: SodaNetwork) -> None:
    x_0, t, _ = inputs(model)
    noise = torch.randn_like(x_0)
    model.encoder.head.weight.data *= 30  # an untrained encoder's latents hardly differ
    style, source = (torch.rand_like(x_0) * 2 - 1 for _ in range(2))
    z = torch.cat([model.encode(style)[:, :4], model.encode(source)[:, 4:]], dim=1)
    draws = LossDraws(t, noise)
    wanted = model.loss(ViewBatch.of(x_0), draws, encoded=(z, None))
    one, two = (model.loss(ViewBatch(source[:, None], x_0, style, sections), draws) for sections in (1, 2))
    assert torch.allclose(one, wanted, rtol=1e-5) and not torch.allclose(two, wanted, rtol=1e-3)
