"""Pairs of views: two pictures that share what they should, never one picture twice unless reconstruction is asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from soda.common.images import to_float, to_uint8
from soda.config import AugmentConfig, PairsConfig, ViewsConfig
from soda.data.augment import view_pair
from soda.data.dataset import DatasetError, PreparedData
from soda.data.pairs import PairsError, Partners, find_partners
from soda.model.batch import ViewBatch
from soda.training.batches import Order, Reader, augmented
from tests.support.prepared_factory import make_prepared
from tests.support.settings import DEFAULT

ONE = DEFAULT.views.pairs
BY_CONTENT = dataclasses.replace(ONE, by="column", column="factor.content", differ="factor.style")
OFF = AugmentConfig(
    crop_prob=0,
    crop_scale_min=0.5,
    flip_prob=0,
    randaugment_prob=0,
    randaugment_ops=0,
    randaugment_magnitude=0,
    noise_sigma=0,
)


def styled(manifest: pd.DataFrame) -> pd.DataFrame:
    """Content of every second picture the same as of the one before, styles by turns; one content alone, one without content."""
    number = np.arange(len(manifest))
    manifest["factor.content"] = [f"c{n // 4:02d}" for n in number]
    manifest["factor.style"] = [("noto", "twemoji", "twemoji", "flat")[n % 4] for n in number]
    manifest.loc[0, "factor.content"] = "alone"
    manifest.loc[1, "factor.content"] = ""
    return manifest


@pytest.fixture
def data(tmp_path: Path) -> PreparedData:
    return PreparedData(make_prepared(tmp_path / "prepared", edit=styled))


def drawn(partners: Partners, times: int = 200) -> list[tuple[int, int]]:
    generator = np.random.default_rng(0)
    which = np.tile(np.arange(len(partners)), times)
    return list(zip(partners.anchors[which].tolist(), partners.draw(which, generator).tolist(), strict=True))


def test_partners_share_the_column_differ_in_the_other_and_all_come_up(data: PreparedData) -> None:
    split = data.split("train")
    partners = find_partners(data, split, BY_CONTENT)
    assert partners is not None
    content, style = split.column("factor.content"), split.column("factor.style")
    expected = {
        (i, j) for i in range(len(split)) for j in range(len(split)) if content[i] == content[j] != "" and style[i] != style[j]
    }
    assert set(drawn(partners)) == expected
    assert 0 not in partners.anchors and 1 not in partners.anchors, "without a partner: never paired with itself"
    counts = pd.Series([pair for pair in drawn(partners) if pair[0] == 4]).value_counts()  # it has three candidates
    assert len(counts) == 3 and counts.min() > 40


def test_any_column_of_the_manifest_will_do(data: PreparedData) -> None:
    split = data.split("train")
    partners = find_partners(data, split, dataclasses.replace(ONE, by="column", column="label"))
    assert partners is not None and len(partners) == len(split)
    pairs = drawn(partners, 20)
    assert all(split.labels[i] == split.labels[j] and i != j for i, j in pairs)
    with pytest.raises(DatasetError, match=r"no column 'factor\.hat'"):
        find_partners(data, split, dataclasses.replace(ONE, by="column", column="factor.hat"))
    with pytest.raises(PairsError, match="no two train pictures share a value of id: there is nothing to train on"):
        find_partners(data, split, dataclasses.replace(ONE, by="column", column="id"))


def test_pictures_of_the_same_pixels_are_never_a_pair(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
    pixels[1::2] = pixels[::2]
    data = PreparedData(make_prepared(tmp_path / "prepared", pixels=pixels))
    split = data.split("train")
    partners = find_partners(data, split, dataclasses.replace(ONE, by="column", column="label"))
    assert partners is not None
    digests = split.column("sha256")
    assert all(digests[i] != digests[j] for i, j in drawn(partners, 50))


def test_reconstruction_has_the_share_that_is_asked_for(data: PreparedData) -> None:
    partners = find_partners(data, data.split("train"), dataclasses.replace(BY_CONTENT, reconstruct=0.25))
    assert partners is not None
    share = np.mean([i == j for i, j in drawn(partners)])
    assert share == pytest.approx(0.25, abs=0.02)


def test_a_pair_is_two_views_of_one_picture_unless_settings_say_more(data: PreparedData) -> None:
    assert find_partners(data, data.split("train"), ONE) is None


def pair_file(folder: Path, *rows: str, header: str = "source,target") -> PairsConfig:
    path = folder / "pairs.csv"
    path.write_text("\n".join((header, *rows)) + "\n")
    return dataclasses.replace(ONE, by="file", file=str(path))


def test_a_file_pairs_in_its_direction_and_only_its_rows(data: PreparedData, tmp_path: Path) -> None:
    config = pair_file(tmp_path, "p0007,p0003", "p0002,p0005", "p0007,p0004", "p0040,p0041")
    split = data.split("train")
    assert "p0040" not in set(split.ids), "a row of another split is of no concern here"
    partners = find_partners(data, split, config)
    assert partners is not None
    assert {(split.ids[i], split.ids[j]) for i, j in drawn(partners)} == {
        ("p0007", "p0003"),
        ("p0007", "p0004"),
        ("p0002", "p0005"),
    }


def test_a_file_of_pairs_may_be_written_as_tables_of_labels_are(data: PreparedData, tmp_path: Path) -> None:
    config = pair_file(tmp_path, "./p0007;p0003", ".\\p0002; p0005 ", header="\N{ZERO WIDTH NO-BREAK SPACE}source;target")
    split = data.split("train")
    partners = find_partners(data, split, config)
    assert partners is not None
    assert {(split.ids[i], split.ids[j]) for i, j in drawn(partners)} == {("p0007", "p0003"), ("p0002", "p0005")}


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (
            ["p0001,p0002", "p0003,cat.png", "x,y"],
            "source,target",
            r"2 rows name ids that are not in .*line 3 \(cat\.png\); line 4 \(x, y\)",
        ),
        (["p0001,p0001"], "source,target", r"a picture paired with itself.*line 2"),
        (["p0001,p0059"], "source,target", r"pictures of two splits.*line 2 \(p0001 is in train, p0059 in test\)"),
        (["p0001,p0002"], "a,b", r"pairs\.csv: no column 'source'; its columns are a, b"),
        (["p0040,p0041"], "source,target", r"no row of .*pairs\.csv is of train"),
    ],
)
def test_a_bad_file_of_pairs_is_one_clear_error(
    data: PreparedData, tmp_path: Path, rows: list[str], header: str, message: str
) -> None:
    with pytest.raises(PairsError, match=message):
        find_partners(data, data.split("train"), pair_file(tmp_path, *rows, header=header))


def test_a_file_that_is_not_there_is_named(data: PreparedData) -> None:
    with pytest.raises(PairsError, match=r"views\.pairs\.file: nowhere\.csv: cannot be read \(no such file"):
        find_partners(data, data.split("train"), dataclasses.replace(ONE, by="file", file="nowhere.csv"))


def read(data: PreparedData, partners: Partners | None, first: int, last: int) -> list[ViewBatch]:
    settings = dataclasses.replace(DEFAULT.train, seed=5, batch_size=8)
    return list(Reader(data.split("train"), partners, settings).stream(first, last))


def same(a: ViewBatch, b: ViewBatch) -> bool:
    return torch.equal(a.sources, b.sources) and torch.equal(a.target, b.target)


def test_batches_hold_pairs_that_a_resumed_run_draws_again(data: PreparedData) -> None:
    split = data.split("train")
    partners = find_partners(data, split, BY_CONTENT)
    whole = read(data, partners, 0, 6)
    assert [(batch.sources.shape, batch.target.shape) for batch in whole] == [((8, 1, 1, 8, 8), (8, 1, 8, 8))] * 6
    assert all(same(a, b) for a, b in zip(whole[3:], read(data, partners, 3, 6), strict=True))
    content = {split.gather([k]).tobytes(): value for k, value in enumerate(split.column("factor.content"))}
    for batch in whole:
        for source, target in zip(to_uint8(batch.sources[:, 0]), to_uint8(batch.target), strict=True):
            assert source.tobytes() != target.tobytes() and content[source.tobytes()] == content[target.tobytes()]


def test_without_pairs_batches_are_what_they_were(data: PreparedData) -> None:
    split = data.split("train")
    order = Order(len(split), seed=5)
    for step, batch in enumerate(read(data, None, 0, 6)):
        assert torch.equal(batch.target, to_float(split.gather(order.indices(step * 8, 8))))
        assert torch.equal(batch.sources[:, 0], batch.target)


def test_the_views_of_a_pair_are_of_its_two_pictures(data: PreparedData) -> None:
    partners = find_partners(data, data.split("train"), BY_CONTENT)
    (batch,) = read(data, partners, 0, 1)
    views = ViewsConfig(OFF, OFF, BY_CONTENT, recolour=0)
    assert same(augmented(batch, views, torch.Generator().manual_seed(0)), batch)


@pytest.mark.parametrize(
    "views",
    [
        ViewsConfig(dataclasses.replace(OFF, crop_prob=0.02), OFF, ONE, 0),
        ViewsConfig(OFF, dataclasses.replace(OFF, crop_prob=0.02), ONE, 0),
        ViewsConfig(dataclasses.replace(OFF, flip_prob=0.5), dataclasses.replace(OFF, flip_prob=0.5), ONE, 0),
        ViewsConfig(dataclasses.replace(OFF, randaugment_prob=0.05, randaugment_ops=1, randaugment_magnitude=0.5), OFF, ONE, 0),
    ],
    ids=["source", "target", "mirrors", "randaugment"],
)
def test_two_views_of_one_picture_are_never_the_same(views: ViewsConfig) -> None:
    assert not views.reconstructs
    images = torch.rand(256, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    source, target = view_pair(images, images, views, torch.Generator().manual_seed(0))
    assert not (source == target).flatten(1).all(1).any()


def test_reconstruction_is_the_same_view_twice() -> None:
    views = ViewsConfig(OFF, OFF, ONE, recolour=0)
    images = torch.rand(4, 3, 8, 8)
    source, target = view_pair(images, images, views, torch.Generator())
    assert views.reconstructs and torch.equal(source, target) and torch.equal(source, images)


STYLED = dataclasses.replace(BY_CONTENT, column="factor.content", differ="factor.style", reconstruct=0.3, style_sections=1)


def test_the_style_comes_from_another_content_in_the_target_s_style(data: PreparedData) -> None:
    split = data.split("train")
    partners = find_partners(data, split, STYLED)
    assert partners is not None
    content, style = split.column("factor.content"), split.column("factor.style")
    which = np.repeat(np.arange(len(partners)), 20)
    drawn = partners.draw_pairs(which, np.random.default_rng(0))
    sources, targets, styles = drawn.sources[:, 0], drawn.targets, drawn.styles
    alike = sources == targets
    assert 0.2 < alike.mean() < 0.4 and (styles[alike] == targets[alike]).all()
    assert (content[sources] == content[targets]).all() and (style[styles] == style[targets]).all()
    assert (style[sources] != style[targets])[~alike].all() and (content[styles] != content[targets])[~alike].all()
    assert len(np.unique(styles[~alike])) > len(partners) // 2


def test_a_style_that_only_one_content_has_is_named(data: PreparedData) -> None:
    lonely = dataclasses.replace(STYLED, column="factor.style", differ="factor.content")
    with pytest.raises(PairsError, match=r"views\.pairs\.style_sections: \d+ train pictures \(p0"):
        find_partners(data, data.split("train"), lonely)
