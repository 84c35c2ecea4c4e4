"""Drift is seen, false alarms come as often as stated, and a sample is what it says it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from soda.cli import main
from soda.monitor import MonitorError
from soda.monitor.comparison import classifier_auc, kolmogorov, kolmogorov_of_splits, rank_sum
from soda.monitor.keeping import merged
from soda.monitor.sample import Reservoir, Sample, identity, read_sample, sample_of
from soda.monitor.statistics import NAMES, statistics_of
from soda.monitor.watch import Watch
from soda.runtime import Encoder
from soda.serve.sampling import Sampling, Wanted
from tests.support.running import ENCODER
from tests.support.workspace import write_prepared

WIDTH = 24


def world(count: int, seed: int, *, shift: float = 0.0, foreign: int = 0, labels: tuple[str, ...] = ()) -> Sample:
    """z of two clusters and images to go with them; the last `foreign` rows lie elsewhere."""
    random = np.random.default_rng(seed)
    z = random.standard_normal((count, WIDTH)) + 3 * random.integers(0, 2, (count, 1)) + shift * (-1.0) ** np.arange(WIDTH)
    z[count - foreign :] += 9 * random.standard_normal((foreign, WIDTH))
    images = random.integers(0, 256, (count, 4, 4, 3), np.uint8)
    named = {"labels": random.choice(labels, count)} if labels else {}
    return sample_of(z, "an encoder", images=images, **named)


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch(world(2000, 0), permutations=99)


def test_false_alarms_do_not_come_more_often_than_stated() -> None:
    # A reference for each trial: of one reference alone the rate is a little above or below.
    pairs = [(world(300, 2 * trial), world(80, 2 * trial + 1)) for trial in range(30)]
    alarms = [Watch(reference, rate=0.5, splits=99, permutations=0).judge(new).alarm for reference, new in pairs]
    assert 1 <= sum(alarms) <= 15  # the threshold is at half the rate, of which 7 are expected


@pytest.mark.parametrize(
    ("changes", "named"), [({"shift": 0.5}, "embedding"), ({"shift": 0.5}, "classifier"), ({"foreign": 20}, "novelty")]
)
def test_what_differs_is_named(watch: Watch, changes: dict[str, float], named: str) -> None:
    for seed in range(5):
        found = watch.judge(world(400, seed + 1, **changes))  # type: ignore[arg-type]
        assert found.alarm and named in {each.name for each in found.comparisons if each.alarm}
        assert found.as_dict()["mmd_permutation_p"] <= 0.05 or named == "novelty"
    if named == "novelty":
        assert set(np.argsort(-found.novel)[:15]) <= set(range(380, 400))


def test_a_statistic_and_a_share_of_labels_that_change_are_named() -> None:
    labelled = Watch(world(1000, 0, labels=("cat", "dog")), permutations=0)
    more = world(300, 1, labels=("cat", "cat", "cat", "dog"))
    dark = Sample(**{**vars(world(300, 2, labels=("cat", "dog"))), "statistics": world(300, 2).statistics * 0.7})
    for new, named in ((more, "labels"), (dark, "brightness")):
        assert named in {each.name for each in labelled.judge(new).comparisons if each.alarm}


def test_what_cannot_be_compared_is_said(watch: Watch) -> None:
    with pytest.raises(MonitorError, match="different encoders"):
        watch.judge(sample_of(np.zeros((60, WIDTH)), "another"))
    with pytest.raises(MonitorError, match="50 or more"):
        watch.judge(world(20, 1))
    with pytest.raises(MonitorError, match="cannot be told from none"):
        Watch(world(400, 0), rate=0.01, splits=50).judge(world(100, 1))
    with pytest.raises(MonitorError, match="200 or more"):
        Watch(world(100, 0))
    bare = watch.judge(sample_of(world(400, 1).z, "an encoder"))  # vectors alone
    assert {each.name for each in bare.comparisons} == {"embedding", "classifier", "novelty"}


def test_comparisons_of_splits_are_those_of_two_samples() -> None:
    random = np.random.default_rng(0)
    values = np.round(random.standard_normal(300), 1)  # with ties
    new, rest = np.zeros((2, 5, 300), bool)
    for a, b in zip(new, rest, strict=True):
        dealt = random.permutation(300)
        a[dealt[:80]] = b[dealt[100:]] = True
    expected = [kolmogorov(values[a], values[b]) for a, b in zip(new, rest, strict=True)]
    assert kolmogorov_of_splits(values, new, rest) == pytest.approx(expected, abs=1e-12)
    area, p = rank_sum(np.asarray([3.0, 4.0, 5.0]), np.asarray([0.0, 1.0, 2.0]))
    assert area == 1.0 and p < 0.05
    far = random.standard_normal((200, 3)) + 2
    assert classifier_auc(far, random.standard_normal((200, 3)), random)[0] > 0.95


def test_statistics_are_what_they_are_called() -> None:
    grey = np.full((1, 4, 4, 1), 51, np.uint8)
    checks = np.indices((4, 4)).sum(0)[None, ..., None] % 2 * np.uint8(255)
    red = np.zeros((1, 4, 4, 3), np.uint8)
    red[..., 0] = np.arange(16).reshape(4, 4) * 10
    named = [dict(zip(NAMES, statistics_of(each)[0].tolist(), strict=True)) for each in (grey, checks, red)]
    assert named[0] == pytest.approx(
        {
            "brightness": 0.2,
            "contrast": 0,
            "edges": 0,
            "extremes": 0,
            "red_minus_blue": 0,
            "red_like_green": 1,
            "green_like_blue": 1,
        }
    )
    assert named[1]["edges"] == 1 and named[1]["extremes"] == 1 and named[1]["contrast"] == 0.5
    assert named[2]["red_minus_blue"] == pytest.approx(75 / 255)


def test_a_reservoir_keeps_each_picture_with_the_same_chance_and_pictures_only_when_asked(tmp_path: Path) -> None:
    counts = np.zeros(40)
    for seed in range(400):
        kept = Reservoir(10, "e", seed=seed)
        for start in range(0, 40, 8):
            kept.add(np.zeros((8, 2, 2, 3), np.uint8), np.arange(start, start + 8, dtype=np.float32)[:, None])
        counts[kept.sample().z[:, 0].astype(int)] += 1
    assert counts.sum() == 4000 and np.abs(counts - 100).max() < 45  # 5 deviations
    sample = kept.sample()
    assert sample.seen == 40 and len(sample) == 10 and len(sample.images) == 0
    asked = Reservoir(3, "e", keep_images=True)
    asked.add(np.full((2, 2, 2, 3), 7, np.uint8), np.ones((2, 1), np.float32))
    asked.sample().save(tmp_path / "s.npz")
    back = read_sample(tmp_path / "s.npz")
    assert (back.images == 7).all() and back.images.shape == (2, 2, 2, 3) and back.encoder == "e" and back.seen == 2
    (tmp_path / "s.npz").write_bytes((tmp_path / "s.npz").read_bytes()[:-30])
    with pytest.raises(MonitorError, match="cannot be read as a sample"):
        read_sample(tmp_path / "s.npz")


def _numbered(first: int, last: int, size: int, seed: int = 0) -> Sample:
    """A sample of pictures that are called by their z."""
    kept = Reservoir(size, "e", seed=seed)
    kept.add(np.zeros((last - first, 2, 2, 3), np.uint8), np.arange(first, last, dtype=np.float32)[:, None])
    return kept.sample()


def test_two_samples_become_one_in_which_every_picture_has_the_same_chance() -> None:
    counts = np.zeros(60)
    for trial in range(600):
        one = merged(_numbered(0, 10 + trial % 7, 10, trial), _numbered(20, 60, 10, trial + 1), 10)
        assert one.seen == 50 + trial % 7 and len(one) == 10
        counts[one.z[:, 0].astype(int)] += 1
    early, late = counts[:10].mean(), counts[20:].mean()
    assert early == pytest.approx(late, rel=0.1)
    few = merged(_numbered(0, 4, 10), _numbered(20, 23, 10), 10)
    assert sorted(few.z[:, 0]) == [0, 1, 2, 3, 20, 21, 22] and few.statistics.shape == (7, len(NAMES))
    assert merged(None, few, 10) is few


def test_embed_adds_to_a_sample_and_leaves_none_of_another_encoder_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random, kept = np.random.default_rng(0), tmp_path / "drift/sample.npz"
    (tmp_path / "new").mkdir()
    given = ["embed", str(tmp_path / "new"), "-o", str(tmp_path / "table.npz"), "--encoder", str(ENCODER), "--vectors", "z"]
    for number in range(9):
        Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / f"new/{number}.png")
        if number == 5:
            main([*given, "--keep-sample", str(kept)])
    main([*given, "--keep-sample", str(kept)])  # the three that came since
    sample, z = read_sample(kept), Encoder(ENCODER, threads=1).embed(str(tmp_path / "new"))
    assert sample.seen == len(sample) == 9 and len(sample.images) == 0 and sample.encoder == identity(Encoder(ENCODER))
    np.testing.assert_allclose(np.sort(sample.z, axis=0), np.sort(z, axis=0), atol=1e-4)
    sample_of(sample.z, "another").save(kept)
    capsys.readouterr()
    main([*given, "--anew", "--keep-sample", str(kept), "--sample-size", "4"])
    assert "another encoder" in capsys.readouterr().err and (len(read_sample(kept)), read_sample(kept).seen) == (4, 9)
    assert read_sample(next(kept.parent.glob("sample-aside-*.npz"))).encoder == "another"
    with pytest.raises(SystemExit):
        main([*given, "--keep-sample", str(tmp_path / "sample.txt")])


def test_a_service_that_is_started_again_goes_on_with_its_sample(tmp_path: Path) -> None:
    encoder, path = Encoder(ENCODER, threads=1), tmp_path / "sample.npz"
    images, random = np.zeros((30, 32, 32, 3), np.uint8), np.random.default_rng(0)

    def a_service_sees(count: int) -> Sampling:
        service = Sampling(Wanted(path, 40, False), encoder)
        service.keep(identity(encoder), images[:count], random.standard_normal((count, encoder.latent_dim)))
        service.write()
        return service

    a_service_sees(30)
    service = a_service_sees(20)
    assert (len(read_sample(path)), read_sample(path).seen) == (40, 50)
    path.unlink()  # `monitor` took it
    service.keep(identity(encoder), images[:5], random.standard_normal((5, encoder.latent_dim)))
    service.write()
    assert not path.exists()  # what was in it was compared
    service.keep(identity(encoder), images[:5], random.standard_normal((5, encoder.latent_dim)))
    service.write()
    assert read_sample(path).seen == 5


def test_a_folder_is_held_to_a_reference_and_the_most_unlike_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder, random = Encoder(ENCODER, threads=1), np.random.default_rng(0)
    images = np.zeros((260, 32, 32, 3), np.uint8)
    for image, (y, x) in zip(images, random.integers(4, 16, (260, 2)), strict=True):
        image[y : y + 12, x : x + 12] = 200
    sample_of(encoder.run(images[:200]), identity(encoder), images=images[:200]).save(tmp_path / "reference.npz")
    (tmp_path / "new").mkdir()
    for number, image in enumerate(images[200:]):
        strange = random.integers(0, 256, (32, 32, 3), np.uint8) if number < 20 else image
        Image.fromarray(strange).save(tmp_path / f"new/{number:02d}.png")
    (tmp_path / "new/broken.png").write_bytes(b"no picture")
    given = [str(tmp_path / "reference.npz"), str(tmp_path / "new"), "-o", str(tmp_path / "page.html"), "--encoder", str(ENCODER)]
    main(["drift", *given])
    assert "DRIFT" in capsys.readouterr().out
    found = json.loads((tmp_path / "page.json").read_text())
    page = (tmp_path / "page.html").read_text()
    assert found["alarm"] and found["rows"] == 60
    first = [page.index(f">{number:02d}.png<") for number in range(20)]
    assert max(first) < min(page.index(f">{number:02d}.png<") for number in range(20, 60))
    for number in range(5):
        Image.fromarray(images[number]).resize((40, 40)).save(tmp_path / f"new/{number:02d}.png")
    main(["drift", *given, "--max-pixels", str(32 * 32)])
    assert json.loads((tmp_path / "page.json").read_text())["rows"] == 55
    with pytest.raises(SystemExit):
        main(["drift", *given, "--max-pixels", "0"])
    assert "--max-pixels" in capsys.readouterr().err


def test_a_reference_is_of_pictures_that_were_not_trained_on(tmp_path: Path) -> None:
    write_prepared(tmp_path / "prepared", size=32, channels=1, train=50, val=210, test=40)
    given = ["reference", "--prepared", str(tmp_path / "prepared"), "--encoder", str(ENCODER), "--labels", "-o"]
    main([*given, str(tmp_path / "both.npz")])
    main([*given, str(tmp_path / "val.npz"), "--split", "val"])
    both, val = read_sample(tmp_path / "both.npz"), read_sample(tmp_path / "val.npz")
    assert (len(both), len(val)) == (250, 210) and set(both.labels) == {"a", "b"} and len(both.images) == 0
    np.testing.assert_allclose(both.z[:210], val.z, atol=1e-4)
    assert both.encoder == identity(Encoder(ENCODER)) and both.statistics.shape == (250, len(NAMES))
    with pytest.raises(SystemExit):  # of 40: it would be kept, and never serve
        main([*given, str(tmp_path / "test.npz"), "--split", "test"])
    assert not (tmp_path / "test.npz").exists()
