"""Avatars and emoji: the same bytes for the same seed, factors that are true, content that is held out in every style."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import yaml

from soda.config import DatasetConfig
from soda.data import prepare as prepare_module
from soda.data.dataset import PreparedData
from soda.data.fetch import fetch
from soda.data.prepare import prepare
from soda.data.sources import SourceError, avatars, emoji, iconify
from soda.data.sources.base import read_described
from soda.data.sources.download import DownloadError, npm_packages
from soda.data.sources.drawings import SvgPicture
from soda.runtime.preprocess import PictureError, to_rgb
from tests.support.samples import MakeConfig, snapshot
from tests.support.settings import DEFAULT, ROOT

STYLE = yaml.safe_load((ROOT / "conf/dataset/drawings/personas.yaml").read_text())


def style_file(folder: Path, **changes: object) -> str:
    path = folder / "style.yaml"
    path.write_text(yaml.safe_dump({**STYLE, "count": 60, **changes}))
    return str(path)


def avatar_config(make: MakeConfig, path: str, **settings: object) -> DatasetConfig:
    return make(name="avatars", path=path, labels="hair", image_size=32, **settings)


def test_one_seed_one_set_whatever_the_workers(
    tmp_path: Path, dataset_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(avatars, "_JOB", 25)
    monkeypatch.setattr(prepare_module, "_CHUNK", 25)
    path = style_file(tmp_path)
    for name, workers, seed in (("one", 1, 0), ("two", 2, 0), ("other", 1, 1)):
        config = avatar_config(dataset_config, path, workers=workers, seed=seed)
        fetch(config, tmp_path / name / "raw")
        prepare(config, tmp_path / name / "raw", tmp_path / name / "prepared")
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")
    one, other = (PreparedData(tmp_path / name / "prepared") for name in ("one", "other"))
    assert not set(one.column("sha256")) & set(other.column("sha256"))


def test_every_avatar_shows_its_factors(tmp_path: Path, dataset_config: MakeConfig) -> None:
    config = avatar_config(dataset_config, style_file(tmp_path))
    fetch(config, tmp_path / "raw")
    prepare(config, tmp_path / "raw", tmp_path / "prepared")
    data = PreparedData(tmp_path / "prepared")
    assert set(data.factor_names) == set(STYLE["factors"]) and len(data.factor_names) >= 8
    assert data.factor_names["beard"] == ["goatee", "none", "pyramid", "shadow"]
    assert set(data.column("licence")) == {"CC BY 4.0"} and "CC-BY-4.0" in data.summary["licence"]
    split = data.split("train")
    assert list(split.column("label")) == list(split.column("factor.hair"))
    for name, names in data.factor_names.items():
        assert [names[k] for k in split.factors[name]] == list(split.column(f"factor.{name}"))
    # The background is what the corner shows, and clothes of one colour are somewhere in the picture.
    pictures = split.gather(np.arange(len(split)))
    for picture, background, clothes in zip(
        pictures, split.column("factor.background"), split.column("factor.clothes_colour"), strict=True
    ):
        assert "#" + bytes(picture[0, 0]).hex() == background
        near = np.abs(picture.astype(int) - np.array(list(bytes.fromhex(clothes[1:])))).sum(-1)
        assert near.min() < 40


def test_one_fetch_serves_both_sizes(tmp_path: Path, dataset_config: MakeConfig) -> None:
    path = style_file(tmp_path, count=12)
    config = avatar_config(dataset_config, path)
    fetch(config, tmp_path / "raw")
    for size in (32, 64):
        config = dataset_config(name="avatars", path=path, labels="none", image_size=size)
        prepare(config, tmp_path / "raw", tmp_path / str(size))
    small, large = (
        {row: data.split("train").gather([k])[0] for k, row in enumerate(data.split("train").ids)}
        for data in (PreparedData(tmp_path / "32"), PreparedData(tmp_path / "64"))
    )
    assert small.keys() == large.keys()
    for name, picture in small.items():
        halved = large[name].astype(float).reshape(32, 2, 32, 2, 3).mean((1, 3))
        assert np.abs(halved - picture).mean() < 4, "another drawing"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"style": "nonesuch"}, r"dicebear-styles .* has no 'nonesuch'"),
        ({"sha256": "0" * 64}, r"another version and would draw other pictures"),
        (
            {"factors": {"shoe": "shoeVariant"}},
            r"factors\.shoe: style personas resolves no 'shoeVariant'; it does: .*hairVariant",
        ),
        ({"count": "many"}, r"style\.yaml: count: 'many' is not possible; it must be a valid integer"),
        ({"palette": []}, r"style\.yaml: palette: no such setting"),
    ],
)
def test_a_wrong_style_file_is_one_clear_error(
    tmp_path: Path, dataset_config: MakeConfig, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(SourceError, match=message):
        fetch(avatar_config(dataset_config, style_file(tmp_path, **changes)), tmp_path / "raw")


def test_drawings_of_other_settings_are_refused(tmp_path: Path, dataset_config: MakeConfig) -> None:
    config = avatar_config(dataset_config, style_file(tmp_path, count=5))
    fetch(config, tmp_path / "raw")
    with pytest.raises(SourceError, match=r"fetched with dataset\.seed=0, which is now 1"):
        avatars.opened(avatar_config(dataset_config, config.path, seed=1), tmp_path / "raw")
    with pytest.raises(SourceError, match=r"dataset\.labels: 'shoes' .* a factor: background, .*hair"):
        avatars.opened(dataset_config(name="avatars", path=config.path, labels="shoes"), tmp_path / "raw")
    style_file(tmp_path, count=6)
    with pytest.raises(SourceError, match=r"fetched with dataset\.path SHA-256"):
        avatars.opened(config, tmp_path / "raw")


def test_svg_is_painted_on_white_and_nonsense_is_rejected() -> None:
    settings = replace(DEFAULT.dataset, image_size=16, channels=3)
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2"><path fill="#f00" d="M0 0h1v2H0z"/></svg>'
    pixels = np.asarray(to_rgb(SvgPicture(svg)(settings)))
    assert pixels.shape == (16, 16, 3)
    assert (pixels[:, :8] == [255, 0, 0]).all() and (pixels[:, 8:] == 255).all()
    with pytest.raises(PictureError, match="resvg cannot paint it"):
        SvgPicture("<svg")(settings)


# --- emoji

CODES = {"1f600": "grin", "1f468-1f3fd-200d-1f680": "man-rocket", "1f469-200d-1f680": "woman-rocket", "2764": "heart"}


def package(folder: Path, name: str, colour: str, codes: dict[str, str], metadata: dict[str, Any] | None = None) -> str:
    """A tarball of one style, as Iconify packs it: a bar whose place tells the code point, in the style's colour."""
    icons = {icon: {"body": f'<path fill="{colour}" d="M{2 * k} 0h2v8h-2z"/>'} for k, icon in enumerate(sorted(codes.values()))}
    icons["wide"] = {"body": f'<path fill="{colour}" d="M0 0h16v8H0z"/>', "width": 16}
    files = {
        "icons": {
            "prefix": name,
            "width": 8,
            "height": 8,
            "icons": icons,
            "aliases": {"turned": {"parent": sorted(codes.values())[0], "hFlip": True}},
        },
        "chars": {**codes, "1f3f4": "turned", "1f3c1": "wide"},
        "metadata": {"categories": {"Signs": [*codes.values(), "turned", "wide"]}} if metadata is None else metadata,
        "info": {"license": {"spdx": f"{name}-licence"}},
    }
    path = folder / f"{name}-1.2.3.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for file, value in files.items():
            data = json.dumps(value).encode()
            entry = tarfile.TarInfo(f"package/{file}.json")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return f"{hashlib.sha512(path.read_bytes()).hexdigest()}  {path.name}\n"


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tarballs of two styles in a folder, their list beside them; neither npm nor the registry can be reached."""
    folder = tmp_path / "packages"
    folder.mkdir()
    many = {f"1f4{n:02x}": f"thing-{n}" for n in range(40)}
    only = {"1f9ff": "amulet"}
    sums = package(folder, "red", "#f00", CODES | many | only) + package(folder, "blue-flat", "#00f", CODES | many)
    (tmp_path / "list.sha512").write_text("# two styles\n" + sums)
    monkeypatch.setattr(iconify, "REGISTRY", "http://127.0.0.1:9/")
    monkeypatch.setenv("PATH", str(tmp_path))
    return folder


def emoji_config(make: MakeConfig, packages: Path, **settings: object) -> DatasetConfig:
    path = str(packages.parent / "list.sha512")
    return make(**{"name": "emoji", "path": path, "labels": "category", "image_size": 8, "val_fraction": 0.25, **settings})


def registry(root: Path) -> ThreadingHTTPServer:
    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, directory=str(root), **kwargs)  # type: ignore[arg-type]

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_emoji_come_from_the_registry_where_there_is_no_npm(
    tmp_path: Path, dataset_config: MakeConfig, packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("red", "blue-flat"):
        place = tmp_path / "registry/@iconify-json" / name / "-"
        place.mkdir(parents=True)
        (place / f"{name}-1.2.3.tgz").write_bytes((packages / f"{name}-1.2.3.tgz").read_bytes())
    server = registry(tmp_path / "registry")
    monkeypatch.setattr(iconify, "REGISTRY", f"http://127.0.0.1:{server.server_port}/")
    config = emoji_config(dataset_config, packages)
    first = fetch(config, tmp_path / "raw")
    server.shutdown()
    server.server_close()
    assert first["from"].startswith("http://127.0.0.1")
    assert fetch(config, tmp_path / "raw")["from"] == "an earlier fetch"
    assert first["styles"] == ["red", "blue-flat"]
    assert first["code_points"] == len(CODES) + 40 + 2, "a code point that one style lacks is left out"


def test_npm_is_asked_for_the_very_version_and_runs_no_script(tmp_path: Path, packages: Path) -> None:
    program = packages.parent / "npm"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n[ "$4" = @iconify-json/blue-flat@1.2.3 ] || exit 3\n'
        f"/bin/cp {packages}/blue-flat-1.2.3.tgz iconify-json-blue-flat-1.2.3.tgz\n"
    )
    program.chmod(0o755)
    npm_packages("@iconify-json", ["blue-flat-1.2.3.tgz"], tmp_path)
    assert (tmp_path / "blue-flat-1.2.3.tgz").read_bytes() == (packages / "blue-flat-1.2.3.tgz").read_bytes()
    assert "--ignore-scripts" in (tmp_path / "asked").read_text()
    with pytest.raises(DownloadError, match="npm failed"):
        npm_packages("@iconify-json", ["red-1.2.3.tgz"], tmp_path)
    os.unlink(program)
    with pytest.raises(DownloadError, match="there is no npm"):
        npm_packages("@iconify-json", ["red-1.2.3.tgz"], tmp_path)


@pytest.fixture
def prepared_emoji(tmp_path: Path, dataset_config: MakeConfig, packages: Path) -> PreparedData:
    raw = tmp_path / "raw"
    raw.mkdir()
    for path in packages.iterdir():
        (raw / path.name).write_bytes(path.read_bytes())
    config = emoji_config(dataset_config, packages)
    fetch(config, raw)
    prepare(config, raw, tmp_path / "prepared")
    return PreparedData(tmp_path / "prepared")


def test_held_out_content_is_held_out_in_every_style(prepared_emoji: PreparedData) -> None:
    data = prepared_emoji
    contents = {name: set(data.split(name).column("factor.content")) for name in ("train", "val", "test")}
    assert all(contents.values())
    assert not contents["train"] & contents["test"] and not contents["train"] & contents["val"]
    where = dict(zip(data.column("factor.content"), data.column("split"), strict=True))
    assert where["1f468-1f3fd-200d-1f680"] == where["1f469-200d-1f680"], "skin tone and gender of one thing are held out together"
    for name, values in contents.items():
        split = data.split(name)
        pairs = set(zip(split.column("factor.content"), split.column("factor.style"), strict=True))
        assert pairs == {(value, style) for value in values for style in ("red", "blue-flat")}
    assert set(zip(data.column("factor.style"), data.column("licence"), strict=True)) == {
        ("red", "red-licence"),
        ("blue-flat", "blue-flat-licence"),
    }
    tones = dict(zip(data.column("factor.content"), data.column("factor.skin_tone"), strict=True))
    assert tones["1f468-1f3fd-200d-1f680"] == "medium" and tones["1f600"] == "none"


def test_a_picture_shows_its_content_in_its_style(prepared_emoji: PreparedData) -> None:
    data = prepared_emoji
    shown = {}
    for name in ("train", "val", "test"):
        split = data.split(name)
        for k, key in enumerate(zip(split.column("factor.content"), split.column("factor.style"), strict=True)):
            shown[key] = split.gather([k])[0]
    common = [*CODES.values(), *(f"thing-{n}" for n in range(40))]
    for style, colour, icons in (("red", [255, 0, 0], [*common, "amulet"]), ("blue-flat", [0, 0, 255], common)):
        columns = {icon: 2 * k for k, icon in enumerate(sorted(icons))}
        for code, icon in CODES.items():
            painted = (shown[code, style] == colour).all(-1)
            assert painted.sum() == (16 if columns[icon] < 8 else 0) and painted[:, columns[icon] : columns[icon] + 2].all()
    turned = (shown["1f3f4", "red"] == [255, 0, 0]).all(-1)
    assert turned[:, 6:].all() and not turned[:, :6].any(), "the alias of the first bar is its mirror image"
    wide = (shown["1f3c1", "red"] == [255, 0, 0]).all(-1)
    assert wide.any(1).tolist() == [False] * 2 + [True] * 4 + [False] * 2, "an oblong icon stands whole in the square"


@pytest.mark.parametrize("damage", ["altered", "truncated", "foreign", "without categories"])
def test_a_bad_tarball_is_named(tmp_path: Path, dataset_config: MakeConfig, packages: Path, damage: str) -> None:
    path = packages / "red-1.2.3.tgz"
    data = path.read_bytes()
    if damage == "altered":
        path.write_bytes(data + b"\0")
    elif damage == "without categories":
        package(packages, "blue-flat", "#00f", CODES, metadata={})
    elif damage == "truncated":
        path.write_bytes(data[:100])
    else:
        with tarfile.open(path, mode="w:gz") as archive:
            archive.addfile(tarfile.TarInfo("package/other.json"))
    if damage != "altered":
        sums = "".join(f"{hashlib.sha512(one.read_bytes()).hexdigest()}  {one.name}\n" for one in sorted(packages.iterdir()))
        (packages.parent / "list.sha512").write_text(sums)
    raw = tmp_path / "raw"
    raw.mkdir()
    for one in packages.iterdir():
        (raw / one.name).write_bytes(one.read_bytes())
    said = {
        "altered": r"red-1\.2\.3\.tgz: its SHA-512 is",
        "truncated": r"red-1\.2\.3\.tgz: not a package",
        "foreign": "not a package",
        "without categories": r"blue-flat-1\.2\.3\.tgz: no categories",
    }
    with pytest.raises(SourceError, match=said[damage]):
        fetch(emoji_config(dataset_config, packages), raw)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0" * 128 + "  red.tgz", "line 1: "),
        ("abc  red-1.2.3.tgz", "line 1: "),
        ("0" * 128 + "  red-1.2.3.tgz", "names 1 packages"),
    ],
)
def test_a_bad_list_is_named(tmp_path: Path, dataset_config: MakeConfig, packages: Path, line: str, message: str) -> None:
    (packages.parent / "list.sha512").write_text(line + "\n")
    with pytest.raises(SourceError, match=rf"list\.sha512.*{message}"):
        fetch(emoji_config(dataset_config, packages), tmp_path / "raw")


def test_families_and_tones_of_real_code_points() -> None:
    assert emoji.family("1f44d-1f3ff") == emoji.family("1f44d") == "1f44d"
    assert emoji.family("1f3c3-200d-2642-fe0f") == emoji.family("1f3c3-1f3fb-200d-2640-fe0f") == "1f3c3"
    assert emoji.family("1f3fb") == "1f3fb", "a skin tone by itself is a picture, too"
    assert emoji.skin_tone("1f469-1f3fb-200d-1f91d-200d-1f468-1f3ff") == "mixed"


def test_the_shipped_lists_can_be_read() -> None:
    assert len(iconify.read_checksums(ROOT / "conf/dataset/emoji.sha512")) == 4
    style = read_described(ROOT / "conf/dataset/drawings/personas.yaml", avatars.Style)
    assert style.count >= 10_000 and len(style.factors) >= 8
    about, _ = avatars.definition(style)
    for option, values in style.options.items():
        if option.endswith("Variant"):
            assert set(values) <= set(about["components"][option.removesuffix("Variant")]["variants"])


# --- icons


def test_icons_are_those_of_every_package_with_its_licence(tmp_path: Path, dataset_config: MakeConfig, packages: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for path in packages.iterdir():
        (raw / path.name).write_bytes(path.read_bytes())
    config = dataset_config(name="icons", path=str(packages.parent / "list.sha512"), labels="package", image_size=8)
    assert fetch(config, raw)["icons"] == (len(CODES) + 40 + 2) + (len(CODES) + 40 + 1), "what one package lacks is kept, too"
    prepare(config, raw, tmp_path / "prepared")
    data = PreparedData(tmp_path / "prepared")
    assert set(data.label_names) == {"red", "blue-flat"}
    licences = set(zip(data.column("factor.package"), data.column("licence"), strict=True))
    assert licences == {("red", "red-licence"), ("blue-flat", "blue-flat-licence")}


def test_the_shipped_list_of_icons_is_well_formed() -> None:
    assert len(iconify.read_checksums(ROOT / "conf/dataset/icons.sha512")) == 25
