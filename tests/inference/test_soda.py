"""`SODA.from_pretrained` and the commands on files, on a small real model whose weights were shaken so that z matters."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from soda import SODA
from soda.cli import main
from soda.common.files import file_sha256
from soda.inference.directions import DirectionError
from soda.model.network import build_model
from soda.runtime.preprocess import PictureError
from soda.training.checkpoint import CheckpointError, save_model
from tests.support.prepared_factory import make_prepared
from tests.support.settings import make_config


def write_model(folder: Path, *overrides: str) -> Path:
    config = make_config(*overrides)
    torch.manual_seed(0)
    network = build_model(config)
    with torch.no_grad():
        for parameter in network.parameters():  # the output and the modulations begin at zero: nothing would depend on z
            parameter.add_(0.05 * torch.randn_like(parameter))
    save_model(folder, network, config, data_version="v", images=1)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, prepared data and pictures a.png, b.png, c.png."""
    home = tmp_path_factory.mktemp("home")
    write_model(home / "model", "dataset.channels=1")
    data = make_prepared(home / "data", n=60, size=16, channels=1)
    for name, pixels in zip("abc", np.load(next((data / "shards").glob("*.npy"))), strict=False):
        Image.fromarray(pixels[:, :, 0]).save(home / f"{name}.png")
    return home


@pytest.fixture(scope="module")
def model(home: Path) -> SODA:
    model = SODA.from_pretrained(home / "model", device="cpu")
    model.find_directions(z=torch.randn(300, 16, generator=torch.Generator().manual_seed(0)), count=3, per_section=1)
    return model


@pytest.fixture
def here(home: Path, model: SODA, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(home)
    return home


def files(home: Path) -> list[Path]:
    return [home / f"{name}.png" for name in "abc"]


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, soda; assert 'torch' not in sys.modules; soda.SODA; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_in_one_out_and_several_in_several_out(model: SODA, home: Path) -> None:
    one, many = home / "a.png", files(home)
    assert model.encode(one).shape == (16,) and model.encode(many).shape == (3, 16)
    assert model.reconstruct(one).shape == (1, 16, 16) and model.reconstruct(many).shape == (3, 1, 16, 16)
    assert model.reconstruct(one, output="pil").size == (16, 16) and model.reconstruct(one, output="pil").mode == "L"
    assert model.reconstruct(many, output="array").dtype == np.uint8
    assert len(model.edit(many, {0: 1.0}, output="pil")) == 3 and model.edit(one, {0: 1.0}).shape == (1, 16, 16)
    assert model.mix(one, one).shape == (1, 16, 16) and model.mix(many, many[:2]).shape == (6, 1, 16, 16)
    with pytest.raises(ValueError, match="output: 'jpeg'"):
        model.reconstruct(one, output="jpeg")


def test_a_seed_makes_every_call_repeatable_and_another_changes_it(model: SODA, home: Path) -> None:
    pictures, z = files(home), model.encode(files(home))
    calls: list[Any] = [
        lambda seed: model.decode(z, seed=seed),
        lambda seed: model.reconstruct(pictures, seed=seed),
        lambda seed: model.interpolate(pictures, frames=2, exact=False, seed=seed),
        lambda seed: model.mix(pictures, pictures, seed=seed),
        lambda seed: model.edit(pictures, {0: 1.0}, exact=False, seed=seed),
    ]
    for call in calls:
        assert torch.equal(call(1), call(1)) and not torch.allclose(call(1), call(2), atol=1e-3)
    # Each picture of a batch has its own noise, whatever stands beside it.
    assert torch.allclose(model.decode(z, seed=1)[0], model.decode(z[0], seed=1), atol=1e-5)


def test_the_inverted_noise_gives_the_picture_back(model: SODA, home: Path) -> None:
    x_0 = torch.cat([model.decode(model.encode(files(home)), seed=3)])  # within what the network can draw
    z, x_T = model.encode(x_0), model.invert(x_0, steps=20)
    error = (model.decode(z, x_T=x_T, steps=20) - x_0).square().mean()
    assert error < 1e-3 and error < 0.1 * (model.decode(z, seed=0, steps=20) - x_0).square().mean()
    assert torch.equal(model.reconstruct(x_0, exact=True, steps=20), model.decode(z, x_T=x_T, steps=20))
    guided = {"steps": 20, "guidance": {1: 1.5}}
    again = model.decode(z, x_T=model.invert(x_0, **guided), **guided)  # type: ignore[arg-type]
    assert (again - x_0).square().mean() < 1e-3


def test_exact_edits_and_walks_begin_at_the_picture_itself(model: SODA, home: Path) -> None:
    pictures = files(home)
    exact = model.reconstruct(pictures, exact=True)
    assert torch.allclose(model.edit(pictures, {0: 0.0}), exact, atol=1e-5)
    walked = model.interpolate(pictures, frames=3)
    assert len(walked) == 7 and torch.allclose(walked[::3], exact, atol=1e-4)
    assert len(model.interpolate(*pictures, frames=3, ring=True, mode="spherical")) == 9


def test_several_edits_are_what_each_of_them_is(model: SODA, home: Path) -> None:
    one = home / "a.png"
    strip = model.edit(one, [{0: -2.0}, {0: 2.0, 1: 1.0}])
    assert torch.allclose(strip[1], model.edit(one, {0: 2.0, 1: 1.0}), atol=1e-5)
    assert not torch.allclose(strip[0], strip[1], atol=1e-3)


def test_mixing_at_the_ends_is_drawing_either_picture(model: SODA, home: Path) -> None:
    a, b = home / "a.png", home / "b.png"
    cuts = model.mix(a, b, every_cut=True)
    assert len(cuts) == model.sections + 1
    assert torch.allclose(cuts[0], model.reconstruct(b), atol=1e-5) and torch.allclose(cuts[-1], model.reconstruct(a), atol=1e-5)
    assert torch.allclose(cuts[2], model.mix(a, b), atol=1e-5) and torch.allclose(
        cuts[1], model.mix(a, b, sections=[0]), atol=1e-5
    )
    with pytest.raises(ValueError, match="cut: 9"):
        model.mix(a, b, cut=9)


def test_guidance_by_section_reaches_the_picture(model: SODA, home: Path) -> None:
    z = model.encode(home / "a.png")
    plain = model.decode(z)
    assert torch.allclose(model.decode(z, guidance=[1, 1, 1, 1]), plain) and torch.allclose(model.decode(z, guidance=1), plain)
    stressed = [model.decode(z, guidance={k: 4.0}) for k in range(model.sections)]
    assert all(not torch.allclose(picture, plain, atol=1e-4) for picture in stressed)
    assert not torch.allclose(stressed[0], stressed[-1], atol=1e-4)
    # A weight of 0 for all of z is drawing without any.
    assert torch.allclose(model.decode(z, guidance=0), model.decode(torch.zeros(16)), atol=1e-4)
    for wrong in ([1.0, 2.0], {4: 1.0}):
        with pytest.raises(ValueError, match=r"guidance|section 4"):
            model.decode(z, guidance=wrong)  # type: ignore[arg-type]


def test_names_are_kept_beside_the_model(model: SODA, home: Path) -> None:
    before = file_sha256(home / "model" / "model.safetensors")
    model.name_direction(2, "sleeves")
    again = SODA.from_pretrained(home / "model", device="cpu")
    assert again.directions.names == {"sleeves": 2} and again.directions.notes["data_version"] == "v"
    assert torch.equal(again.edit(home / "a.png", {"sleeves": 1.5}), model.edit(home / "a.png", {2: 1.5}))
    assert sorted(path.name for path in (home / "model").iterdir()) == ["config.yaml", "model.safetensors"]
    assert file_sha256(home / "model" / "model.safetensors") == before
    model.name_direction("sleeves", None)


def test_directions_inside_the_folder_are_used_until_the_person_has_their_own(model: SODA, home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "model", tmp_path / "m")
    with pytest.raises(DirectionError, match=r"no directions were found for this model yet; `soda directions`"):
        _ = SODA.from_pretrained(tmp_path / "m", device="cpu").directions
    shutil.copy(home / "model.directions.safetensors", tmp_path / "m" / "model.directions.safetensors")
    shipped = SODA.from_pretrained(tmp_path / "m", device="cpu")
    shipped.name_direction(0, "mine")
    assert (tmp_path / "m.directions.safetensors").exists()
    assert SODA.from_pretrained(tmp_path / "m", device="cpu").directions.names == {"mine": 0}


@pytest.mark.parametrize("amounts", [{3.7: 2.0}, {None: 2.0}, {0: "x"}, {0: float("nan")}, {99: 1.0}])
def test_a_direction_or_an_amount_that_does_not_exist_is_named(model: SODA, home: Path, amounts: dict[Any, Any]) -> None:
    model.find_directions(z=torch.randn(40, 16, generator=torch.Generator().manual_seed(0)), save=False)
    with pytest.raises(DirectionError, match="direction"):
        model.edit(home / "a.png", amounts)


def test_an_altered_file_of_directions_is_refused(model: SODA, home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    shutil.copytree(home / "model", folder)
    SODA.from_pretrained(folder, device="cpu").find_directions(z=torch.randn(40, 16))
    [file] = tmp_path.glob("*directions.safetensors")
    content = bytearray(file.read_bytes())
    content[-10] ^= 1
    file.write_bytes(content)
    with pytest.raises(DirectionError, match=r"directions\.safetensors: altered since it was written"):
        SODA.from_pretrained(folder, device="cpu").edit(home / "a.png", {0: 1.0})


@pytest.mark.parametrize("count", [2, 6, 15])
def test_few_pictures_give_fewer_directions(model: SODA, count: int) -> None:
    found = model.find_directions(z=torch.randn(count, 16), save=False)
    assert 1 <= sum(each.kind == "pca" for each in found) < count


def test_directions_of_an_earlier_training_are_not_used(model: SODA, home: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "m", "dataset.channels=1", "model.time_dim=32")
    shutil.copy(home / "model.directions.safetensors", tmp_path / "m.directions.safetensors")
    with pytest.raises(DirectionError, match="other weights"):
        SODA.from_pretrained(tmp_path / "m", device="cpu").edit(home / "a.png", {0: 1.0})


@pytest.mark.parametrize("damage", ["no folder", "no config", "no weights", "settings", "weights", "truncated", "sections"])
def test_a_model_folder_with_a_missing_or_altered_file_is_refused_by_name(home: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "m"
    if damage != "no folder":
        shutil.copytree(home / "model", folder)
    weights, settings = folder / "model.safetensors", folder / "config.yaml"
    wanted = r"model\.safetensors"
    if damage in ("no folder", "no config"):
        settings.unlink(missing_ok=True)
        wanted = r"config\.yaml: no such file"
    elif damage == "no weights":
        weights.unlink()
    elif damage == "settings":
        settings.write_text(settings.read_text().replace("sampling_steps: 5", "sampling_steps: 6"))
        wanted = r"config\.yaml: altered"
    elif damage == "weights":
        tensors = load_file(weights)
        tensors["denoiser.conv_in.weight"][0, 0, 0, 0] += 1e-3
        metadata = {"soda": _notes(weights)}
        save_file(tensors, weights, metadata=metadata)
        wanted = r"model\.safetensors: altered"
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        settings.write_text(settings.read_text().replace("latent_dim: 16", "latent_dim: 18"))
        wanted = r"config\.yaml: model\.latent_dim: 18 is not possible; it must be a multiple of the 4 sections"
    with pytest.raises(CheckpointError, match=wanted):
        SODA.from_pretrained(folder, device="cpu")


def _notes(weights: Path) -> str:
    from safetensors import safe_open

    with safe_open(weights, framework="pt") as file:
        return file.metadata()["soda"]


@pytest.mark.parametrize("latent_dim", [16, 18])
def test_a_latent_without_sections_draws_and_edits_but_does_not_mix(home: Path, tmp_path: Path, latent_dim: int) -> None:
    plain = ("dataset.channels=1", "model.layer_modulation=false", "model.section_drop=0", f"model.latent_dim={latent_dim}")
    model = SODA.from_pretrained(write_model(tmp_path / "m", *plain), device="cpu")
    assert model.sections == 4
    assert model.reconstruct(home / "a.png").shape == (1, 16, 16)
    with pytest.raises(ValueError, match="no sections to mix"):
        model.mix(home / "a.png", home / "b.png")
    found = model.find_directions(z=torch.randn(50, latent_dim, generator=torch.Generator().manual_seed(0)), count=2)
    assert {"pca", "sparse", "ica"} <= {each.kind for each in found}
    assert model.edit(home / "a.png", {0: 1.0}).shape == (1, 16, 16)
    if latent_dim == 18:
        with pytest.raises(ValueError, match="4 sections do not divide a latent of 18"):
            model.find_directions(z=torch.randn(50, 18), methods=("section",))
        with pytest.raises(ValueError, match="sections"):
            model.decode(torch.zeros(18), guidance={0: 2.0})


def test_pictures_from_one_noise_differ_by_z_alone_with_a_stochastic_sampler_too(home: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", "dataset.channels=1", "diffusion.sampler=ddpm")
    model = SODA.from_pretrained(folder, device="cpu", batch_size=2)
    a, b = home / "a.png", home / "b.png"
    mixed = model.mix([a, a, a], b)
    assert torch.allclose(mixed[0], mixed[1], atol=1e-3) and torch.allclose(mixed[0], mixed[2], atol=1e-3)
    still = model.interpolate(a, a, frames=3, exact=False)
    assert all(torch.allclose(still[0], frame, atol=1e-3) for frame in still[1:])
    assert not torch.allclose(still[0], model.interpolate(a, a, frames=3, exact=False, seed=1)[0], atol=0.1)
    model.find_directions(z=torch.randn(60, 16, generator=torch.Generator().manual_seed(0)), count=2, per_section=1)
    there, again = model.edit(a, [{0: 1.0}, {0: 1.0}], exact=False)
    assert torch.allclose(there, again, atol=1e-3)


def test_moves_that_are_given_twice_or_lead_too_far_are_refused(model: SODA, home: Path) -> None:
    with pytest.raises(DirectionError, match="direction '01' is given twice: 1 is the same one"):
        model.edit(home / "a.png", {1: 2.0, "01": 2.0})
    with pytest.raises(DirectionError, match=r"direction 1: 1e\+39 is too far"):
        model.edit(home / "a.png", {1: 1e39})
    with pytest.raises(ValueError, match="shown: 0"):
        model.find_directions(z=torch.randn(20, 16), shown=0)


def test_tensors_that_do_not_fit_are_refused(model: SODA) -> None:
    with pytest.raises(ValueError, match=r"z has shape \(2, 15\)"):
        model.decode(torch.zeros(2, 15))
    with pytest.raises(ValueError, match="x_T has shape"):
        model.decode(torch.zeros(2, 16), x_T=torch.zeros(1, 16, 16))
    with pytest.raises(ValueError, match="steps: 0"):
        model.decode(torch.zeros(2, 16), steps=0)
    with pytest.raises(ValueError, match="no finite number"):
        model.decode(torch.full((2, 16), torch.nan))
    with pytest.raises(ValueError, match=r"z has shape \(7,\)"):
        model.invert(np.zeros((16, 16), np.uint8), z=torch.zeros(7))


def test_arrays_and_lists_are_taken_as_tensors_are(model: SODA, home: Path) -> None:
    z = model.encode(home / "a.png")
    x_T = model.invert(home / "a.png", z=z.numpy())
    again = model.decode(z.tolist(), x_T=x_T.numpy(), guidance=np.float32(1))
    assert torch.equal(again, model.decode(z, x_T=x_T, guidance=torch.tensor(1.0)))


def test_what_is_wrong_about_a_call_is_said_at_once(model: SODA, home: Path) -> None:
    with pytest.raises(ValueError, match="device: 'tpu'"):
        SODA.from_pretrained(home / "model", device="tpu")
    with pytest.raises(ValueError, match="output: 'jpg'"):
        SODA.from_pretrained(home / "model", device="cpu", output="jpg")
    with pytest.raises(ValueError, match="batch_size: 0"):
        SODA.from_pretrained(home / "model", device="cpu", batch_size=0)
    with pytest.raises(ValueError, match="exclude one another"):
        model.mix(home / "a.png", home / "b.png", cut=1, sections=[2])
    with pytest.raises(ValueError, match=r"section 2\.5 does not exist"):
        model.decode(torch.zeros(16), guidance={2.5: 1.0})  # type: ignore[dict-item]


def test_pictures_of_another_size_are_prepared_when_asked(home: Path, model: SODA) -> None:
    large = Image.new("RGB", (40, 30), "red")
    with pytest.raises(PictureError, match="40 x 30 px, mode RGB; this model takes 16 x 16 px, mode L"):
        model.encode(large)
    assert SODA.from_pretrained(home / "model", device="cpu", fit=True).encode(large).shape == (16,)


def soda(*arguments: str) -> None:
    main([*arguments, "--model", "model", "--device", "cpu"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("reconstruct", "a.png"),
        ("interpolate", "a.png", "b.png"),
        ("mix", "--style", "a.png", "--content", "b.png"),
        ("edit", "a.png", "--direction", "1=2"),
    ],
)
def test_the_limit_of_pixels_is_an_option(here: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit):
        soda(*arguments, "--max-pixels", "255")
    assert "a.png: 16 x 16 px is more than the limit of 255 pixels" in capsys.readouterr().err


def test_the_commands_write_what_they_say(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soda("reconstruct", "a.png")
    soda("reconstruct", "a.png", "b.png", "--exact", "-o", "sheet.png")
    soda("reconstruct", "a.png", "b.png", "-o", "folder", "--scale", "2")
    soda("interpolate", "a.png", "b.png", "--frames", "3", "-o", "walk.gif")
    soda("interpolate", "a.png", "b.png", "c.png", "--frames", "2", "--ring", "--mode", "spherical", "-o", "ring.png")
    soda("mix", "--style", "a.png", "--content", "b.png")
    soda("mix", "--style", "a.png", "b.png", "--content", "c.png", "--cut", "1", "-o", "grid.png")
    soda("mix", "--style", "a.png", "--content", "b.png", "--every-cut", "-o", "cuts.png", "--guidance", "0=2,3=0.5")
    soda("edit", "a.png", "--direction", "1=+2", "-o", "edit.png")
    soda("edit", "a.png", "--direction", "1=-2", "--direction", "0=1", "--strip", "-o", "strip.png")
    soda("attributes", "--name", "1=hat")
    soda("edit", "a.png", "--direction", "hat=+2", "-o", "named.png")
    soda("attributes", "a.png", "--top", "2", "-o", "shown.png")
    printed = capsys.readouterr()
    assert "a.png:" in printed.out and " dB" in printed.out and "hat: change" in printed.out and "eval/s" in printed.err
    sizes = {
        "a-reconstruction.png": (16, 16),
        "a-on-b.png": (16, 16),
        "edit.png": (16, 16),
        "folder/b-reconstruction.png": (32, 32),
    }
    for name, size in sizes.items():
        assert Image.open(here / name).size == size
    assert Image.open(here / "walk.gif").n_frames == 6  # type: ignore[attr-defined]
    assert (here / "named.png").read_bytes() == (here / "edit.png").read_bytes()
    for name in ("sheet.png", "ring.png", "grid.png", "cuts.png", "strip.png", "shown.png"):
        assert min(Image.open(here / name).size) > 96


@pytest.mark.parametrize(
    "command",
    [
        ["reconstruct", "a.png"],
        ["reconstruct", "a.png", "b.png"],
        ["interpolate", "a.png", "b.png"],
        ["mix", "--style", "a.png", "--content", "b.png"],
        ["edit", "a.png", "--direction", "1=1"],
        ["edit", "a.png", "--direction", "1=1", "--strip"],
        ["directions", "a.png", "--find"],
    ],
)
def test_a_place_that_cannot_be_written_is_said_before_anything_is_drawn(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    for name in ("reconstruct", "interpolate", "mix", "edit", "find_directions"):
        monkeypatch.setattr(SODA, name, lambda *args, **settings: pytest.fail("it draws already"))
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        soda(*command, "-o", str(tmp_path / "file/below.png"))
    assert f"{tmp_path / 'file/below.png'}: cannot be written (Not a directory)" in capsys.readouterr().err


def test_a_full_disk_costs_no_line(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(old: object, new: object) -> None:
        raise OSError(28, "No space left on device", str(old), None, str(new))

    monkeypatch.setattr(os, "replace", refused)
    for command, says in ((["reconstruct"], " dB"), (["directions", "--top", "1"], "change")):
        with pytest.raises(SystemExit):
            soda(*command, "a.png", "-o", "new.png")
        said = capsys.readouterr()
        assert says in said.out and "No space left on device" in said.err


def test_names_are_given_where_nothing_can_be_drawn(here: Path) -> None:
    (here / "attributes.png").mkdir()
    soda("directions", "--name", "1=hat")
    (here / "attributes.png").rmdir()


@pytest.fixture
def turning(home: Path) -> Path:
    """A folder beside a.png and b.png with a model that is told of cameras."""
    folder = home / "posed"
    return (
        folder
        if folder.exists()
        else write_model(folder, "dataset.channels=1", "model=posed", "views=object", "model.cameras.octaves=1")
    )


def test_a_turntable_goes_once_round_and_poses_change_it(here: Path, turning: Path) -> None:
    def turn(*arguments: str) -> None:
        main(["turntable", *arguments, "--model", str(turning), "--device", "cpu", "--steps", "2"])

    turn("a.png", "--frames", "5")
    assert Image.open(here / "a-turn.gif").n_frames == 5  # type: ignore[attr-defined]
    turn("a.png", "b.png", "--frames", "3", "-o", "unposed.png")
    turn("a.png", "b.png", "--frames", "3", "--pose", "30,20", "--pose=-60,20,2.7", "-o", "posed.png")
    turn("a.png", "b.png", "--frames", "3", "--pose", "30,20", "--pose=-60,20", "--pose-guidance", "2", "-o", "stressed.png")
    strips = {(here / f"{name}.png").read_bytes() for name in ("unposed", "posed", "stressed")}
    assert len(strips) == 3 and Image.open(here / "posed.png").width > 3 * 64


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--pose", "30"], "--pose: '30' is not possible; it must be azimuth and elevation in degrees"),
        (["--pose", "30,20", "--pose", "1,2"], "--pose: given 2 times for 1 pictures"),
        (["--pose", "30,20,0"], "a camera at the origin has nothing to look at"),
        (["--frames", "0"], "frames: 0 is not possible"),
        (["--field-of-view", "180"], "--field-of-view: 180 is not possible"),
        (["--model", "model"], "this model was trained without cameras"),
        (["-o", "turn.txt"], "turn.txt: cannot be written"),
    ],
)
def test_a_turntable_that_cannot_be_is_one_clear_line(
    here: Path, turning: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], wanted: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["turntable", "a.png", "--model", str(turning), "--device", "cpu", *arguments])
    lines = capsys.readouterr().err.splitlines()
    assert stop.value.code == 1 and wanted in lines[-1] and lines[-1].startswith("soda turntable: ")
    assert not (here / "turn.txt").exists()


def test_views_of_different_sizes_are_refused(here: Path, turning: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.open("a.png").resize((64, 48)).save("wide.png")
    with pytest.raises(SystemExit):
        main(["turntable", "a.png", "wide.png", "--model", str(turning), "--device", "cpu", "-o", "two.gif"])
    error = capsys.readouterr().err.splitlines()[-1]
    assert (
        error.startswith("soda turntable: wide.png: 64 x 48 px") and "this model takes" in error and not Path("two.gif").exists()
    )


def test_attributes_are_found_in_prepared_data(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree("model", "other", dirs_exist_ok=True)
    main(["attributes", "--model", "other", "--data", "data", "--top", "2", "--device", "cpu", "-o", "found.png"])
    first = Path("other.directions.safetensors").read_bytes()
    main(["attributes", "--model", "other", "--data", "data", "--top", "2", "--device", "cpu", "-o", "again.png", "--find"])
    assert Path("other.directions.safetensors").read_bytes() == first
    assert Path("found.png").read_bytes() == Path("again.png").read_bytes()
    printed = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("note: data holds other data than this model was trained on") for line in printed) == 2
    rows = [line for line in printed if "of the variance of z" in line]
    kinds = {row.split()[1].rstrip(":") for row in rows}
    assert kinds == {"pca", "section", "sparse", "ica"}


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["edit", "a.png", "--direction", "99=1"], "direction '99' does not exist; this model has 0 to"),
        (["edit", "a.png", "--direction", "3"], "--direction: '3' is not possible"),
        (["edit", "a.png", "--direction", "3=much"], "--direction: '3=much' is not possible"),
        (["reconstruct", "nowhere.png"], "nowhere.png: no such file"),
        (["reconstruct", "large.png"], "large.png: 40 x 30 px, mode RGB; this model takes 16 x 16 px, mode L"),
        (["reconstruct", "a.png", "-o", "a.png"], "a.png: this is one of the pictures given"),
        (["reconstruct", "a.png", "-o", "x.txt"], "x.txt: cannot be written"),
        (["reconstruct", "a.png", "a.png"], "two of the pictures would be written to it"),
        (["reconstruct", "a.png", "--guidance", "lots"], "--guidance: 'lots' is not possible"),
        (["reconstruct", "a.png", "--steps", "1000"], "steps: 1000 is not possible; it must be a whole number from 1 to 50"),
        (["interpolate", "a.png", "-o", "w.gif"], "interpolation takes two images or more"),
        (["mix", "--style", "a.png", "--content", "b.png", "--cut", "7"], "cut: 7 is not possible"),
        (["mix", "--style", "a.png", "--content", "b.png", "--sections", "7"], "section 7 does not exist"),
        (["attributes", "--name", "hat"], "--name: 'hat' is not possible"),
        (["attributes", "--name", "1=hat", "--find"], "--find and --name exclude one another"),
        (
            ["attributes", "--find", "--data", "nowhere"],
            "nowhere/summary.json: no such file; prepare the data first (--data names",
        ),
        (["attributes", "--data", "nowhere"], "or name pictures to show the directions on"),
    ],
)
def test_bad_input_is_one_clear_line(here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], wanted: str) -> None:
    Image.new("RGB", (40, 30)).save("large.png")
    with pytest.raises(SystemExit) as stop:
        soda(*arguments)
    lines = capsys.readouterr().err.splitlines()
    assert stop.value.code == 1 and wanted in lines[-1] and lines[-1].startswith(f"soda {arguments[0]}: ")
