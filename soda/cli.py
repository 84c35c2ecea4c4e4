"""`soda <stage>`: one line a stage. The only reader of params.yaml; every stage gets the part it needs, and paths."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soda.commands.arguments import NAMES, add_commands
from soda.commands.vectors_arguments import NAMES as VECTOR_NAMES
from soda.commands.vectors_arguments import add_vector_commands
from soda.serve import command as serving

if TYPE_CHECKING:  # the base package, which embeds and searches, has no YAML
    from soda.config import Config

RAW = Path("data/raw")
PREPARED = Path("data/prepared")
MODEL = Path("models/soda")
ENCODER, DENOISER, VARIANTS = Path("models/encoder.onnx"), Path("models/denoiser.onnx"), Path("models/variants")
DIRECTIONS = Path("models/directions.safetensors")
RUNS = Path("runs")
REPORTS = Path("reports")
VERDICT = REPORTS / "validation.json"
DATA_DOCS = REPORTS / "data_docs"
LIVE = REPORTS / "live"
FIGURES = REPORTS / "figures"
METRICS = REPORTS / "metrics.json"
PARTS = {stage: REPORTS / f"{stage}.json" for stage in ("train", "evaluate", "export")}
HTML = REPORTS / "index.html"
ZOO, RESULTS = Path("zoo"), Path("docs/results")
GALLERY, GALLERY_IMAGES = Path("docs/gallery.md"), Path("docs/images")


def _fetch(config: Config) -> dict[str, Any]:
    from soda.data.fetch import fetch

    return fetch(config.dataset, RAW)


def _prepare(config: Config) -> dict[str, Any]:
    from soda.data.prepare import prepare

    return prepare(config.dataset, RAW, PREPARED)


def _validate(config: Config) -> dict[str, Any]:
    from soda.data.gate.validate import validate

    return validate(config.gate, PREPARED, VERDICT, DATA_DOCS)


def _train(config: Config) -> dict[str, Any]:
    from soda.training.loop import train

    return train(config, PREPARED, VERDICT, MODEL, RUNS, LIVE, PARTS["train"])


def _evaluate(config: Config) -> dict[str, Any]:
    from soda.evaluation.evaluate import evaluate

    return evaluate(config.evaluate, MODEL, PREPARED, PARTS["evaluate"], FIGURES, DIRECTIONS, RUNS)


def _export(config: Config) -> dict[str, Any]:
    from soda.export.onnx import export

    return export(config.export, MODEL, PREPARED, PARTS["evaluate"], DIRECTIONS, ENCODER, DENOISER, VARIANTS, PARTS["export"])


def _report(config: Config) -> dict[str, Any]:
    from soda.report.stage import report

    return report(config, PREPARED, VERDICT, LIVE, list(PARTS.values()), FIGURES, ENCODER, HTML, METRICS)


def _ship(name: str, command: str) -> dict[str, Any]:
    from soda.export.ship import ship
    from soda.inference.directions import usable_file
    from soda.report.gallery_page import keep_pictures, write_gallery
    from soda.training.checkpoint import load_model

    found = usable_file(MODEL, load_model(MODEL)[1].model.latent_dim)
    shipped = ship(
        name,
        MODEL,
        ENCODER,
        DENOISER,
        VARIANTS,
        METRICS,
        FIGURES,
        ZOO,
        RESULTS,
        directions=found,
        prepared=PREPARED,
        command=command,
    )
    keep_pictures(name, FIGURES, GALLERY_IMAGES, PREPARED)
    return {**shipped, "gallery": ", ".join(write_gallery(GALLERY, ZOO, RESULTS, GALLERY_IMAGES))}


STAGES: dict[str, tuple[Callable[[Config], dict[str, Any]], str]] = {
    "fetch": (_fetch, "get the raw data and check it"),
    "prepare": (_prepare, "decode, resize and split it into shards and a manifest"),
    "validate": (_validate, "the gate: Great Expectations over manifest and shards"),
    "train": (_train, "train SODA (torchrun -m soda train for several processes)"),
    "evaluate": (_evaluate, "probes, baselines, reconstructions"),
    "export": (_export, "models/encoder.onnx, denoiser.onnx and variants/, held to the torch model"),
    "report": (_report, "reports/index.html and reports/metrics.json"),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="soda", description="SODA: image encoders by bottleneck diffusion.")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    composing = commands.add_parser("compose", help="compose conf/ into params.yaml")
    composing.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="e.g. experiment=emoji model.latent_dim=64")
    for name, (_, about) in STAGES.items():
        commands.add_parser(name, help=about)
    shipping = commands.add_parser("ship", help="copy the finished run to zoo/NAME, docs/results/NAME.json and docs/gallery.md")
    shipping.add_argument("name", metavar="NAME")
    shipping.add_argument("--made-by", default="", metavar="COMMAND", help="the command that made the run, for the card")
    add_vector_commands(commands)
    add_commands(commands)
    serving.add_command(commands)
    return parser


def _summary(result: dict[str, Any]) -> str:
    """What a stage returned, in one line a group; lists and sentences are in the files that it wrote."""
    plain = {key: value for key, value in result.items() if not isinstance(value, (dict, list))}
    groups = [("", plain)] + [(key, value) for key, value in result.items() if isinstance(value, dict)]
    lines = []
    for name, group in groups:
        figures = [f"{key} {_short(value)}" for key, value in group.items() if not isinstance(value, (dict, list))]
        if figures:
            lines.append(f"{name}: {', '.join(figures)}" if name else ", ".join(figures))
    return "\n".join(lines)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) and abs(value) < 1e4 else str(value)


def _is_expected(error: Exception) -> bool:
    """Errors that were written for the person; anything else is a fault of ours and keeps its traceback."""
    return isinstance(error, (ValueError, OSError, ModuleNotFoundError)) or type(error).__module__.startswith("soda.")


def main(argv: list[str] | None = None) -> None:
    """Run one command. Exits 1 with one line on an error, 130 or 143 when asked to stop."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        if args.command in VECTOR_NAMES:
            from soda.commands.vectors import run

            run(args)
        elif args.command == "compose":
            from soda.config import advice, compose, write_params

            write_params(compose(args.overrides))
            if hint := advice(args.overrides):
                print(hint, file=sys.stderr)
        elif args.command == "ship":
            print(_summary(_ship(args.name, args.made_by)))
        elif args.command == "serve":
            serving.run(args)
        elif args.command in NAMES:
            from soda.commands.run import run as run_on_files

            run_on_files(args)
        else:
            from soda.config import load

            result = STAGES[args.command][0](load())
            if int(os.environ.get("RANK", 0)) == 0:
                print(_summary(result))
    except BrokenPipeError:  # `soda cluster ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if args.debug or not _is_expected(error):
            raise
        from soda.runtime.names import one_line

        text = "\n".join(map(one_line, str(error).split("\n")))  # a file name in it may not drive the terminal
        print(f"soda {args.command}: {text}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 1))
