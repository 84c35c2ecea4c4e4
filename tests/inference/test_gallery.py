"""Walks, mixes, inversion, directions, sheets and animations, each by what it must do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from soda.diffusion.inversion import invert_exactly
from soda.diffusion.sampler import sample
from soda.diffusion.schedule import Schedule
from soda.inference.directions import Direction, DirectionError, Directions, load_directions, save_directions
from soda.inference.discovery import METHODS, candidates, rank
from soda.inference.image_io import Format, give, read_pictures
from soda.inference.interpolation import interpolate, slerp
from soda.inference.mixing import mix, mixes
from soda.runtime.guidance import read_guidance
from soda.runtime.preprocess import PictureError
from soda.viz.animation import save_animation
from soda.viz.sheets import grid, page, strip


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_interpolation_meets_every_point_once_and_a_ring_closes() -> None:
    points = draws(3, 8)
    for mode in ("linear", "spherical"):
        line, ring = interpolate(points, 5, mode=mode), interpolate(points, 5, mode=mode, ring=True)
        assert len(line) == 11 and len(ring) == 15
        assert torch.allclose(line[::5], points, atol=1e-5) and torch.allclose(ring[::5], points, atol=1e-5)
        # The step over the seam is one like the others: the ring does not rest at its first point.
        assert 0.1 < (ring[0] - ring[-1]).norm() / (ring[1] - ring[0]).norm() < 10


def test_spherical_interpolation_turns_evenly_and_keeps_the_length() -> None:
    a, b = draws(64), draws(64, seed=1)
    a, b = a / a.norm(), 3 * b / b.norm()
    way = slerp(a, b, torch.linspace(0, 1, 9))
    angles = torch.nn.functional.cosine_similarity(way[1:], way[:-1], dim=1).arccos()
    assert torch.allclose(angles, angles.mean().expand(8), atol=1e-3)
    assert torch.allclose(way.norm(dim=1), torch.linspace(1, 3, 9), atol=1e-4)


def test_spherical_interpolation_between_parallel_vectors_is_straight() -> None:
    a = draws(8)
    for b in (2 * a, -a, torch.zeros(8)):
        way = slerp(a, b, torch.tensor([0.0, 0.5, 1.0]))
        assert torch.allclose(way, torch.stack([a, (a + b) / 2, b]), atol=1e-6)


@pytest.mark.parametrize("arguments", [{"frames": 0}, {"frames": 2, "mode": "cubic"}, {"frames": 2, "one": True}])
def test_interpolation_that_cannot_be_is_refused(arguments: dict[str, object]) -> None:
    points = draws(1 if arguments.pop("one", False) else 2, 4)
    with pytest.raises(ValueError, match=r"frames|mode|two images"):
        interpolate(points, **arguments)  # type: ignore[arg-type]


def test_a_mix_takes_whole_sections_from_either_side() -> None:
    style, content = torch.ones(1, 12), torch.zeros(1, 12)
    assert mix(style, content, [0, 2], 4).tolist() == [[1] * 3 + [0] * 3 + [1] * 3 + [0] * 3]
    cuts = mixes(style, content, 4, cut=None, chosen=None, every_cut=True)
    assert cuts.sum(1).tolist() == [0, 3, 6, 9, 12]  # nothing to everything of the style, the fine sections first
    assert (cuts[1, :3] == 1).all()


def test_a_grid_of_mixes_has_a_row_for_each_content() -> None:
    styles, contents = torch.tensor([[1.0, 1.0], [2.0, 2.0]]), torch.tensor([[10.0, 10.0], [20.0, 20.0], [30.0, 30.0]])
    mixed = mixes(styles, contents, 2, cut=None, chosen=[0], every_cut=False).reshape(3, 2, 2)
    assert mixed[2, 1].tolist() == [2, 30] and mixed[0, 1].tolist() == [2, 10]


def test_sections_that_do_not_exist_or_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="section 4 does not exist; this model has sections 0 to 3"):
        mix(torch.ones(1, 12), torch.ones(1, 12), [4], 4)
    with pytest.raises(ValueError, match="5 sections do not divide a latent of 12"):
        mix(torch.ones(1, 12), torch.ones(1, 12), [0], 5)


def test_guidance_is_one_weight_or_one_a_section() -> None:
    assert read_guidance(None, 3, 1.5) == (1.5, {})
    assert read_guidance(2, 3, 1.0) == (2.0, {})
    assert read_guidance([1, 2, 3], 3, 4.0) == (4.0, {0: 1.0, 1: 2.0, 2: 3.0})
    assert read_guidance({2: 0.5}, 3, 4.0) == (4.0, {2: 0.5})
    assert read_guidance(torch.tensor(2.0), 3, 1.0) == read_guidance(np.float32(2), 3, 1.0) == (2.0, {})
    assert read_guidance(torch.tensor([1, 2]), 2, 4.0) == read_guidance(np.array([1, 2]), 2, 4.0) == (4.0, {0: 1.0, 1: 2.0})
    assert read_guidance({0: torch.tensor(0.5), np.int64(1): np.float32(0.5)}, 3, 4.0) == (4.0, {0: 0.5, 1: 0.5})
    for wrong, message in (([1, 2], "2 weights for the 3"), ({3: 1.0}, "section 3"), (float("nan"), "finite")):
        with pytest.raises(ValueError, match=message):
            read_guidance(wrong, 3, 1.0)


class Gaussian:
    """The perfect denoiser of data ~ N(0, variance), a variance for every pixel; counts its evaluations."""

    def __init__(self, schedule: Schedule, variance: Tensor) -> None:
        self.schedule, self.variance, self.calls = schedule, variance, 0

    def __call__(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        abar = self.schedule.abar(t, x)
        x_0 = abar.sqrt() * self.variance / (abar * self.variance + 1 - abar) * x
        return x_0.float(), ((x - abar.sqrt() * x_0) / (1 - abar).sqrt()).float()


@pytest.mark.parametrize("name", ["cosine", "inverted", "linear"])
def test_exact_inversion_comes_back_and_beats_a_first_guess(name: str) -> None:
    schedule = Schedule(name, 1000)
    variance = torch.logspace(-2, 0, 64).reshape(1, 8, 8)
    x_0 = draws(2, 1, 8, 8) * variance.sqrt()
    denoise, steps = Gaussian(schedule, variance), 10

    def error(x_T: Tensor) -> float:
        drawn = sample(denoise, x_T, schedule, steps, method="ddim", eta=0.0, clip=False)
        return float((drawn - x_0).square().mean().sqrt())

    denoise.calls = 0
    x_T = invert_exactly(denoise, x_0, schedule, steps, rounds=3)
    assert denoise.calls == 3 * steps
    once, more = (error(invert_exactly(denoise, x_0, schedule, steps, rounds=rounds)) for rounds in (1, 8))
    assert more <= error(x_T) < 0.5 * once
    with pytest.raises(ValueError, match="rounds: 0"):
        invert_exactly(denoise, x_0, schedule, steps, rounds=0)


def planted(n: int = 3000, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Latents (n, 12) that are mixtures of 3 sparse sources, and the mixing directions (3, 12), which are not orthogonal."""
    generator = np.random.default_rng(seed)
    axes = generator.normal(size=(3, 12))
    axes[1] += axes[0]
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    sources = generator.exponential(size=(n, 3)) * (generator.random((n, 3)) < 0.15)
    z = sources @ axes + 0.005 * generator.normal(size=(n, 12))
    return torch.from_numpy(z).float(), torch.from_numpy(axes).float()


def test_the_first_principal_component_is_the_long_axis() -> None:
    axis = torch.nn.functional.normalize(draws(12, seed=3), dim=0)
    z = 5 * draws(500, 1) * axis + draws(500, 12, seed=2) + 7
    found = candidates(z, sections=4, count=3, per_section=1, methods=("pca",), seed=0)
    assert len(found) == 3 and found[0].sigma > found[1].sigma > found[2].sigma
    assert abs(found[0].vector @ axis.double().numpy()) > 0.98 and found[0].sigma == pytest.approx(5, rel=0.15)


def test_a_direction_of_a_section_leaves_the_others_alone() -> None:
    found = candidates(draws(200, 12), sections=4, count=3, per_section=2, methods=("section",), seed=0)
    assert [item.section for item in found] == [0, 0, 1, 1, 2, 2, 3, 3]
    for item in found:
        outside = np.delete(item.vector.reshape(4, 3), item.section, axis=0)
        assert not outside.any() and np.linalg.norm(item.vector) == pytest.approx(1)


@pytest.mark.parametrize("method", ["sparse", "ica"])
def test_sparse_methods_find_slanted_sources_that_pca_does_not(method: str) -> None:
    z, axes = planted()

    def worst(kind: str) -> float:
        vectors = np.stack([found.vector for found in candidates(z, sections=4, count=3, per_section=1, methods=(kind,), seed=0)])
        return float(np.abs(axes.double().numpy() @ vectors.T).max(1).min())

    assert worst(method) > 0.95 > worst("pca")
    for kind in METHODS:  # sigma is one standard deviation of the data along the line, however it was found
        for found in candidates(z, sections=4, count=3, per_section=1, methods=(kind,), seed=0):
            assert found.sigma == pytest.approx(float((z.double().numpy() @ found.vector).std(ddof=1)), rel=1e-6)
    again = [candidates(z, sections=4, count=3, per_section=1, methods=(method,), seed=0) for _ in range(2)]
    assert all(np.array_equal(a.vector, b.vector) for a, b in zip(*again, strict=True))


def test_latents_without_directions_are_refused() -> None:
    arguments = {"sections": 4, "count": 3, "per_section": 1, "seed": 0}
    with pytest.raises(ValueError, match="not of 1"):
        candidates(draws(1, 12), methods=("pca",), **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="all these latents are the same"):
        candidates(torch.ones(9, 12), methods=("pca",), **arguments)  # type: ignore[arg-type]
    for methods in (("tsne",), ()):
        with pytest.raises(ValueError, match=r"methods: '(tsne)?' is not possible"):
            candidates(draws(9, 12), methods=methods, **arguments)  # type: ignore[arg-type]


def test_directions_are_ranked_by_how_much_they_change_the_picture() -> None:
    z = draws(500, 4) * torch.tensor([4.0, 3.0, 2.0, 1.0])
    loud = torch.tensor([0.0, 0.001, 0.02, 0.1])  # the strongest axis of z is not seen at all

    def draw(ends: Tensor) -> Tensor:
        return (ends * loud)[:, :, None, None].expand(-1, -1, 2, 2)

    found = candidates(z, sections=2, count=4, per_section=1, methods=("pca",), seed=0)
    ranked = rank(found, z[:3], draw, float(z.var(0).sum()))
    assert [int(item.vector.abs().argmax()) for item in ranked] == [3, 2, 1, 0]
    assert ranked[0].change == pytest.approx(4 * 0.1 / 4 / 2, rel=0.2)  # 4 sigmas, in 1 of 4 channels, of a range of 2
    assert sum(item.share for item in ranked) == pytest.approx(1, abs=1e-3)


def some_directions(count: int = 3) -> Directions:
    vectors = torch.nn.functional.normalize(draws(count, 6), dim=1)
    items = [Direction(vectors[i], 1.0 + i, "pca", None, 0.1, 0.3 - i / 10) for i in range(count)]
    return Directions(tuple(items), "a" * 64, {"seed": 0})


def test_directions_come_back_with_their_names(tmp_path: Path) -> None:
    path = tmp_path / "m.directions.safetensors"
    directions = some_directions().named(1, "Ärmel lang")
    save_directions(path, directions)
    again = load_directions(path, model="a" * 64, latent_dim=6)
    assert again.names == {"Ärmel lang": 1} and again.notes == {"seed": 0}
    for key in (1, "1", "Ärmel lang"):
        assert torch.equal(again[key].vector, directions.items[1].vector) and again[key].sigma == 2.0
    assert again.named("Ärmel lang", None).names == {}


def test_moving_is_in_sigmas_and_adds_up() -> None:
    directions = some_directions().named(2, "hat")
    z = draws(2, 6, seed=5)
    moved = directions.move(z, {0: 2.0, "hat": -1.0})
    assert torch.allclose(moved - z, (2.0 * directions[0].vector - 3.0 * directions[2].vector).expand(2, 6), atol=1e-6)


@pytest.mark.parametrize("key", [3, -1, "3", "scarf", "1.5"])
def test_a_direction_that_does_not_exist_is_named_beside_those_that_do(key: int | str) -> None:
    with pytest.raises(DirectionError, match=r"does not exist; this model has 0 to 2 and the names hat"):
        some_directions().named(2, "hat").number(key)


@pytest.mark.parametrize("name", ["", "  ", "7", "-3", "a=b", "a,b", "hat"])
def test_a_name_that_cannot_be_told_from_a_number_or_another_is_refused(name: str) -> None:
    with pytest.raises(DirectionError, match=r"name|called"):
        some_directions().named(2, "hat").named(0, name)


def test_directions_of_other_weights_or_damaged_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.directions.safetensors"
    save_directions(path, some_directions())
    with pytest.raises(DirectionError, match="found with other weights"):
        load_directions(path, model="b" * 64, latent_dim=6)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DirectionError, match="not a readable file"):
        load_directions(path, model="a" * 64, latent_dim=6)


GREY = Format(size=8, channels=1, resize="crop", fit=False)


def test_every_kind_of_picture_is_read_alike(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "a.png")
    wanted = torch.from_numpy(pixels.astype(np.float32))[None, None] / 127.5 - 1
    for picture in (
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        image,
        pixels,
        pixels[:, :, None],
        pixels[None, :, :, None],
        wanted,
    ):
        assert torch.allclose(read_pictures(picture, GREY), wanted)
    assert read_pictures([tmp_path / "a.png", image, wanted[0]], GREY).shape == (3, 1, 8, 8)
    assert np.array_equal(give(wanted, "array", single=True)[:, :, 0], pixels)
    assert np.array_equal(np.asarray(give(wanted, "pil", single=False)[0]), pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_of_another_size_or_mode_is_refused_unless_it_is_to_be_fitted(tmp_path: Path, channels: int) -> None:
    form = Format(size=8, channels=channels, resize="crop", fit=False)
    for i, image in enumerate([Image.new("RGBA", (8, 8)), Image.new(form.mode, (9, 8)), Image.new("CMYK", (30, 20))]):
        path = tmp_path / f"{i}.{'png' if image.mode != 'CMYK' else 'jpg'}"
        image.save(path)
        with pytest.raises(PictureError, match=rf"{path.name}: .*mode {image.mode}; this model takes 8 x 8 px, mode {form.mode}"):
            read_pictures(path, form)
        fitted = read_pictures(path, Format(size=8, channels=channels, resize="crop", fit=True))
        assert fitted.shape == (1, channels, 8, 8)
        if image.size == (9, 8):
            with pytest.raises(PictureError, match="9 x 8 px is more than the limit of 71 pixels"):
                read_pictures(path, Format(size=8, channels=channels, resize="crop", fit=True, max_pixels=71))


@pytest.mark.parametrize(
    ("picture", "error"),
    [
        (np.zeros((8, 8)), TypeError),
        (np.zeros((2, 8, 8), np.uint8), ValueError),
        (torch.zeros(1, 8, 9), ValueError),
        (torch.zeros(1, 8, 8).long(), TypeError),
        (torch.full((1, 8, 8), 3.0), ValueError),
        (torch.full((1, 8, 8), float("nan")), ValueError),
        ([], ValueError),
        (3, TypeError),
        ([3], TypeError),
        ("no such file.png", PictureError),
    ],
)
def test_what_is_no_picture_is_refused(picture: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_pictures(picture, GREY)  # type: ignore[arg-type]


def test_an_animation_shows_every_frame_and_returns(tmp_path: Path) -> None:
    frames = np.stack([np.full((8, 8, 1), 20 * i, np.uint8) for i in range(6)])
    for name in ("a.gif", "a.webp"):
        for back, wanted in ((False, [0, 1, 2, 3, 4, 5]), (True, [0, 1, 2, 3, 4, 5, 4, 3, 2, 1])):
            save_animation(frames, tmp_path / name, back=back)
            with Image.open(tmp_path / name) as image:
                assert image.n_frames == len(wanted) and image.info["loop"] == 0 and image.size == (256, 256)
                for k, value in enumerate(wanted):
                    image.seek(k)
                    assert image.convert("L").getpixel((9, 9)) == 20 * value
    for wrong in (tmp_path / "a.mp4", tmp_path / "a"):
        with pytest.raises(ValueError, match=r"one of \.gif, \.webp"):
            save_animation(frames, wrong)
    with pytest.raises(ValueError, match="fps: 0"):
        save_animation(frames, tmp_path / "b.gif", fps=0)


def test_a_sheet_keeps_pixels_and_places() -> None:
    dark, light = np.zeros((8, 8, 1), np.uint8), np.full((8, 8, 3), 200, np.uint8)
    sheet = grid([[dark, light], [None, dark]], title="t", column_labels=["a", "b"], lead_row=True, lead_column=True, side=32)
    pixels = np.asarray(sheet)
    assert (pixels == 200).all(2).sum() == 32 * 32 and (pixels == 0).all(2).sum() >= 2 * 32 * 32
    assert strip(np.stack([dark, dark]), side=32).height == 40
    assert page([sheet] * 3, columns=2).width == 2 * sheet.width + 20
    with pytest.raises(ValueError, match="rows of one length"):
        grid([[dark], [dark, dark]])
