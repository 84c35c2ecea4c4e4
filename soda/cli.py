"""`soda <stage>`: one line a stage, which gets its part of params.yaml and its paths; and the commands beside them."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from typing import Any

from soda.commands import add_commands
from soda.common.cores import wait_passively
from soda.common.errors import is_expected
from soda.serve import command as serving
from soda.stages import STAGES, write_fingerprints


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="soda", description="SODA: image encoders by bottleneck diffusion.")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    composing = commands.add_parser("compose", help="compose conf/ into params.yaml")
    composing.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="e.g. experiment=emoji model.latent_dim=64")
    commands.add_parser("code", help="write the fingerprint of each stage's code to .code/, for dvc.yaml")
    for name, stage in STAGES.items():
        commands.add_parser(name, help=stage.about)
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


def main(argv: list[str] | None = None) -> None:
    """Run one command. Exits 1 with one line on an error, 130 or 143 when asked to stop."""
    wait_passively()
    args = _parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal's or file's encoding lacks is spelt out, and ends nothing
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        if "action" in args:  # all but stages, `compose` and `code`
            args.action(args)
        elif args.command == "compose":
            from soda.config import advice, compose, write_params
            from soda.config.chosen import remember_overrides
            from soda.data.choice import choose

            values = compose(args.overrides)
            if chosen := choose(values, args.overrides):
                print(chosen, file=sys.stderr)
            write_params(values)
            remember_overrides(args.overrides)
            if hint := advice(args.overrides):
                print(hint, file=sys.stderr)
        elif args.command == "code":
            write_fingerprints()
        else:
            from soda.config import load

            result = STAGES[args.command].run(load())
            if int(os.environ.get("RANK", 0)) == 0:
                print(_summary(result))
    except BrokenPipeError:  # `soda cluster ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if args.debug or not is_expected(error):
            raise
        from soda.runtime.names import one_line

        text = "\n".join(map(one_line, str(error).split("\n")))  # a file name in it may not drive the terminal
        print(f"soda {args.command}: {text}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 1))
