"""Measure some groups of a shipped model anew, where a sampler or a measure has changed and its weights have not.

    python -m benchmarks.remeasure avatars --prepared DIR --groups reconstruction interpolation mix

The groups in docs/results/NAME.json, the card in zoo/NAME and the gallery follow; all other groups stay as they were measured.
Directions are those that are shipped. The data must be those of the training, or with --other-data be said to be others.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from soda import layout
from soda.common.errors import InputError
from soda.common.files import write_json
from soda.config import compose, from_dict
from soda.data.dataset import PreparedData
from soda.evaluation.context import EvaluationContext, timed
from soda.evaluation.registry import measures, require_declared
from soda.report.card import Shipped, card
from soda.report.gallery_document import keep_images, save_small, shipped_figures, write_gallery
from soda.report.results import write_table
from soda.report.ship import COLOURS, CREDITS
from soda.runtime import Decoder, Encoder
from soda.training.checkpoint import load_model, model_metadata
from soda.training.distributed import choose_device
from soda.training.fit import Keeping

_FINISHED = re.compile(r"finished (\S+) \(UTC\), seed \d+(?:: `([^`]+)`)?")
_LEFT_OUT = re.compile(r"^- no (encoder\.\w+\.onnx): (.+)$", re.MULTILINE)


def measure_groups(
    name: str, prepared: Path, groups: list[str], figures: Path, runs: Path, overrides: list[str]
) -> dict[str, Any]:
    """The groups by key, each with its notes; their images go to `figures`. Raises InputError for a group that no measure has."""
    known = {each.key: each for each in measures() if each.compute is not None}
    if unknown := set(groups) - set(known):
        raise InputError(f"no such group: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    folder = layout.ZOO / name
    data, (model, trained) = PreparedData(prepared), load_model(folder)
    config = from_dict(compose(overrides)).evaluate
    context = EvaluationContext(
        model.to(choose_device("auto")), trained, data, config, figures, folder, keeping=Keeping(runs, data.version)
    )
    found = {}
    for key in groups:
        compute = known[key].compute
        assert compute is not None
        with timed(key):
            found[key] = compute(context)
    require_declared(found)
    return found


def renew_card(name: str, metrics: dict[str, Any]) -> None:
    """The card of a shipped model with these figures; what only its run knew is taken from the card that is there."""
    folder = layout.ZOO / name
    old = (folder / "README.md").read_text(encoding="utf-8")
    finished = _FINISHED.search(old)
    if finished is None:
        raise InputError(f"{folder}/README.md: no line says when the model was finished")
    _, config = load_model(folder)
    encoders = {path.name: Encoder(path, threads=1).metadata for path in sorted(folder.glob("encoder*.onnx"))}
    facts = {**encoders, "denoiser.onnx": Decoder(folder / "denoiser.onnx", threads=1).metadata}
    image = next((figure for _, figure in shipped_figures() if (folder / f"{figure.name}.png").is_file()), None)
    told = Shipped(name, config, metrics, facts, _variants(metrics, old), finished[1], image, finished[2] or "")
    if (folder / CREDITS).exists():
        told = replace(told, credits=CREDITS)
    (folder / "README.md").write_text(card(told), encoding="utf-8")


def _variants(metrics: dict[str, Any], old_card: str) -> dict[str, dict[str, Any]]:
    """What variants.json held of the 8-bit encoder, from the figures of the export."""
    export, reasons = metrics["export"], dict(_LEFT_OUT.findall(old_card))
    kept = {key.removeprefix("int8_"): value for key, value in export.items() if key.startswith("int8_")}
    return {"encoder.int8.onnx": {**kept, "reason": reasons.get("encoder.int8.onnx", "")}} if kept else {}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.remeasure", description=__doc__)
    parser.add_argument("name", help="of a model in zoo/")
    parser.add_argument("--prepared", type=Path, default=layout.PREPARED)
    parser.add_argument("--groups", nargs="*", default=[], help="of docs/results/NAME.json; none: the card and the pages alone")
    parser.add_argument("--experiment", help="whose evaluation settings count (the name)")
    parser.add_argument("--runs", type=Path, default=layout.RUNS)
    parser.add_argument("--other-data", action="store_true", help="the data are not those of the training, byte for byte")
    args = parser.parse_args(argv)
    results = layout.RESULTS / f"{args.name}.json"
    metrics = json.loads(results.read_text(encoding="utf-8"))
    if args.groups:
        version, trained_on = PreparedData(args.prepared).version, model_metadata(layout.ZOO / args.name).get("data_version")
        if version != trained_on and not args.other_data:
            raise SystemExit(f"{args.prepared} is data version {version}, the model's is {trained_on}; --other-data allows it")
        metrics |= _measured(args, metrics)
        write_json(results, metrics)
    renew_card(args.name, metrics)
    write_gallery(layout.GALLERY, layout.ZOO, layout.RESULTS, layout.GALLERY_IMAGES)
    write_table(Path("README.md"), layout.RESULTS)


def _measured(args: argparse.Namespace, metrics: dict[str, Any]) -> dict[str, Any]:
    """The groups that were asked for, measured; prints what differs, and renews the images."""
    images = layout.GALLERY_IMAGES / args.name
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder)
        if images.is_dir():
            shutil.copytree(images, figures, dirs_exist_ok=True)
        overrides = [f"experiment={args.experiment or args.name}"]
        found = measure_groups(args.name, args.prepared, args.groups, figures, args.runs, overrides)
        keep_images(args.name, figures, layout.GALLERY_IMAGES, args.prepared)
        _renew_image(args.name, figures)
    for key, group in found.items():
        before = metrics.get(key, {})
        for figure in sorted(group.keys() & before.keys()):
            if isinstance(group[figure], float) and group[figure] != before[figure]:
                print(f"{key}.{figure}: {before[figure]:.4f} -> {group[figure]:.4f}")
    return found


def _renew_image(name: str, figures: Path) -> None:
    """The card's image, where it was drawn again."""
    for _, figure in shipped_figures():
        kept = layout.ZOO / name / f"{figure.name}.png"
        if kept.is_file() and (figures / kept.name).is_file():
            with Image.open(figures / kept.name) as opened:
                save_small(opened, kept, COLOURS)


if __name__ == "__main__":
    main()
