"""Our DCI beside that of the package `disent` (MIT licence, after disentanglement_lib) on the same latents.

    pip install --no-deps disent==0.8.0
    python -m benchmarks.dci_check                                          # latents made here
    python -m benchmarks.dci_check --model models/soda --prepared data/prepared   # z of a trained model, on data with factors

Prints disentanglement, completeness and informativeness three times: ours; theirs, whose importances come from gradient-boosted
trees in place of a forest; and their scores of our importances, which must be ours. Recorded (disent 0.8.0, scikit-learn 1.9.1):

    turned by   ours d, c, i          theirs                theirs, on our importances
    0           .8961 .8581 .9394     .9331 .9069 .9367     .8961 .8581
    0.3         .4363 .4897 .9067     .4982 .5346 .9133     .4363 .4897
    3           .4245 .3413 .9006     .5082 .4294 .9194     .4245 .3413
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

from soda.data.dataset import PreparedData
from soda.evaluation.disentanglement.dci import FactorData
from soda.evaluation.disentanglement.dci_forest import disentanglement
from soda.evaluation.factors import read_factors
from soda.evaluation.samples import draw_sample, embed
from soda.training.checkpoint import load_model

SIZES = {"train": 600, "val": 300, "test": 600}
MAX_FACTORS = 4  # a model's: boosted trees on 128 components take a minute a factor


def their_module() -> Any:
    """disent's file of DCI alone: the rest of the package wants data sets, h5py and plotting, and DCI uses none of it."""
    try:
        package = importlib.metadata.distribution("disent")
    except importlib.metadata.PackageNotFoundError:
        raise SystemExit("dci_check wants the package disent: pip install --no-deps disent==0.8.0") from None
    for name, members in {
        "disent": {},
        "disent.dataset": {"DisentDataset": object},
        "disent.metrics": {},
        "disent.metrics.utils": {"make_metric": lambda *_, **__: lambda function: function},
    }.items():
        module = types.ModuleType(name)
        vars(module).update(members)
        sys.modules[name] = module
    sys.modules["disent.metrics"].utils = sys.modules["disent.metrics.utils"]  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location("disent.metrics._dci", str(package.locate_file("disent/metrics/_dci.py")))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made_here(turn: float) -> FactorData:
    """Three factors of 3, 2 and 4 values in six components; `turn` mixes all of these by so much of a random rotation."""
    generator = np.random.default_rng(0)
    rotation = np.linalg.qr(np.eye(6) + turn * generator.standard_normal((6, 6)))[0]
    x, y = {}, {}
    for split, count in SIZES.items():
        y[split] = {f"f{k}": generator.integers(0, values, count) for k, values in enumerate((3, 2, 4))}
        z = 0.3 * generator.standard_normal((count, 6))
        for k, column in enumerate(y[split].values()):
            z[:, k] += (column - column.mean()) / column.std()
        x[split] = z @ rotation
    return FactorData(x, y)


def of_model(folder: Path, prepared: Path) -> FactorData:
    model, _ = load_model(folder)
    data = PreparedData(prepared)
    samples = {name: draw_sample(data.split(name), limit, 0) for name, limit in SIZES.items()}
    factors = read_factors(data, samples)
    if factors is None or len(factors.learnable) < 2:
        raise SystemExit(f"{prepared}: a comparison wants at least two known factors")
    names = factors.commonest(factors.learnable, MAX_FACTORS)
    z = {name: embed(model.encoder, s, batch_size=100, device=torch.device("cpu")).x for name, s in samples.items()}
    return FactorData(
        {name: values.double().numpy() for name, values in z.items()},
        {name: {factor: factors.codes[name][factor] for factor in names} for name in samples},
    )


def compare(title: str, data: FactorData) -> None:
    theirs = their_module()
    ours = disentanglement(data)
    tables = {split: np.stack(list(columns.values())) for split, columns in data.y.items()}  # (F, N)
    found = theirs._compute_dci(data.x["train"].T, tables["train"], data.x["test"].T, tables["test"])
    print(title)
    print(f"  ours                          d {ours.dci_d:.4f}  c {ours.dci_c:.4f}  i {ours.dci_i:.4f}")
    values = [float(found[f"dci.{key}"]) for key in ("disentanglement", "completeness", "informativeness_test")]
    print("  disent, boosted trees         d {:.4f}  c {:.4f}  i {:.4f}".format(*values))
    again = theirs._disentanglement(ours.importance), theirs._completeness(ours.importance)
    print("  disent, on our importances    d {:.4f}  c {:.4f}".format(*(float(value) for value in again)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dci_check", description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--prepared", type=Path)
    args = parser.parse_args()
    if args.model and args.prepared:
        compare(f"{args.model} on {args.prepared}", of_model(args.model, args.prepared))
        return
    for turn in (0.0, 0.3, 3.0):
        compare(f"made here, turned by {turn:g}", made_here(turn))


if __name__ == "__main__":
    main()
