"""How well drift is seen, and how often an alarm is false: docs/results/drift.json. `python -m benchmarks.drift` (some minutes)

The reference is the val split of Fashion-MNIST, which the encoder was not trained on; samples of 500 come from the test split.
Foreign pictures, 5 % of a sample, are avatars, grey and of the same size; a new class is a fifth of one. Swapped channels are
those of avatars against avatars, since a grey picture has none to swap. False alarms are counted over ten references, drawn with
their samples from val and test together: of one reference alone the rate is a little above or below.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from soda.common.files import write_json
from soda.config import compose, from_dict
from soda.data.dataset import PreparedData
from soda.data.fetch import fetch
from soda.data.prepare import prepare
from soda.layout import PREPARED, RESULTS, ZOO
from soda.monitor.sample import Sample, seen_by
from soda.monitor.watch import RATE, Watch
from soda.runtime import Encoder

SIZE, REFERENCE, REFERENCES = 500, 5000, 10
Change = Callable[[np.ndarray], np.ndarray]


def blurred(images: np.ndarray) -> np.ndarray:
    """The mean of 3 x 3 pixels."""
    padded = np.pad(images.astype(np.float32), ((0, 0), (1, 1), (1, 1), (0, 0)), "edge")
    height, width = images.shape[1:3]
    shifted = [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return (sum(shifted) / 9 + 0.5).astype(np.uint8)


def darkened(images: np.ndarray) -> np.ndarray:
    """All values by 0.8."""
    return (images * 0.8).astype(np.uint8)


def swapped(images: np.ndarray) -> np.ndarray:
    """Red and blue changed."""
    return np.ascontiguousarray(images[..., ::-1])


def embedded(encoder: Encoder, images: np.ndarray, labels: np.ndarray | None = None) -> Sample:
    """(N, S, S, C) uint8 as the service would see it."""
    return seen_by(encoder, images, **({} if labels is None else {"labels": labels}))


def avatars(folder: Path, count: int) -> np.ndarray:
    """Drawn ones, (n, 32, 32, 3)."""
    style = Path("conf/dataset/drawings/personas.yaml").read_text().splitlines()
    drawn = [f"count: {count}" if line.startswith("count:") else line for line in style]
    (folder / "style.yaml").write_text("\n".join(drawn))
    config = from_dict(compose(["experiment=avatars", f"dataset.path={folder / 'style.yaml'}", "dataset.workers=1"])).dataset
    fetch(config, folder / "raw")
    prepare(config, folder / "raw", folder / "prepared")
    data = PreparedData(folder / "prepared")
    return np.concatenate([batch for name in ("train", "val", "test") for batch in data.split(name).batches(256)])


def false_alarms(pool: Sample, trials: int) -> list[float]:
    """The share of alarms of each of REFERENCES references, with as many samples each that none is in its reference."""
    found = []
    for number in range(REFERENCES):
        order = np.random.default_rng((3, number)).permutation(len(pool))
        watch = Watch(pool.rows(order[:REFERENCE]), permutations=0)
        found.append(rate(watch, draws(pool.rows(order[REFERENCE:])), trials // REFERENCES))
    return found


def rate(watch: Watch, draw: Callable[[np.random.Generator], Sample], trials: int) -> float:
    """The share of trials that raise an alarm."""
    return sum(watch.judge(draw(np.random.default_rng((7, trial)))).alarm for trial in range(trials)) / trials


def mixed(a: Sample, b: Sample) -> Sample:
    parts = [np.concatenate([getattr(a, name), getattr(b, name)]) for name in ("z", "statistics", "labels", "files")]
    return Sample(parts[0], a.encoder, len(parts[0]), parts[1], parts[2], parts[3], a.images)


def draws(pool: Sample, count: int = SIZE) -> Callable[[np.random.Generator], Sample]:
    return lambda random: pool.rows(random.choice(len(pool), count, replace=False))


def measure(prepared: Path, trials: int) -> dict[str, object]:
    """The figures of drift.json."""
    data, began = PreparedData(prepared), time.monotonic()
    grey = Encoder(ZOO / "fashion_mnist/encoder.onnx", threads=1)
    images = {name: data.split(name).gather(np.arange(len(data.split(name)))) for name in ("val", "test")}
    # No labels: most streams have none, and without them the power is that of the pictures alone.
    reference, test = embedded(grey, images["val"][:REFERENCE]), embedded(grey, images["test"])
    labels = data.split("test").labels
    missing = data.split("val").labels[:REFERENCE] != labels.max()
    watch, without = (Watch(each, permutations=0) for each in (reference, reference.rows(np.flatnonzero(missing))))
    seen_before, power = test.rows(np.flatnonzero(labels != labels.max())), {}
    new_class = test.rows(np.flatnonzero(labels == labels.max()))
    with tempfile.TemporaryDirectory() as folder:
        drawn = avatars(Path(folder), 4000)
    foreign = embedded(grey, np.round(drawn.mean(axis=3, keepdims=True)).astype(np.uint8))
    few = SIZE // 20
    power["foreign_5_percent"] = rate(watch, lambda r: mixed(draws(test, SIZE - few)(r), draws(foreign, few)(r)), trials // 2)
    power["blurred"] = rate(watch, draws(embedded(grey, blurred(images["test"]))), trials // 2)
    power["darkened"] = rate(watch, draws(embedded(grey, darkened(images["test"]))), trials // 2)
    with_class = lambda r: mixed(draws(seen_before, SIZE - 4 * few)(r), draws(new_class, 4 * few)(r))  # noqa: E731
    power["new_class"] = rate(without, with_class, trials // 2)
    coloured = Encoder(ZOO / "avatars/encoder.onnx", threads=1)
    half = len(drawn) // 2
    of_avatars = Watch(embedded(coloured, drawn[:half]), permutations=0)
    power["swapped_channel"] = rate(of_avatars, draws(embedded(coloured, swapped(drawn[half:]))), trials // 2)
    alarms = false_alarms(mixed(embedded(grey, images["val"]), test), trials)
    return {
        "power": power,
        "stated_rate": RATE,
        "false_alarm_rate": float(np.mean(alarms)),
        "false_alarm_rate_of_each_reference": alarms,
        "trials_unchanged": trials,
        "trials_power": trials // 2,
        "sample": SIZE,
        "reference": REFERENCE,
        "reference_avatars": half,
        "new_class_share": 4 * few / SIZE,
        "seconds": round(time.monotonic() - began),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--prepared", type=Path, default=PREPARED, help="Fashion-MNIST, prepared")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--output", type=Path, default=RESULTS / "drift.json")
    given = parser.parse_args()
    figures = measure(given.prepared, given.trials)
    write_json(given.output, figures)
    print(figures)


if __name__ == "__main__":
    main()
