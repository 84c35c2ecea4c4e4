"""`soda describe`: what somebody else's ONNX file takes, as a file for --preprocess."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_commands(commands: Any) -> None:
    command = commands.add_parser("describe", help="what somebody else's ONNX encoder takes, as a file for --preprocess")
    command.add_argument("encoder", type=Path, metavar="ONNX")
    command.add_argument("-o", "--output", type=Path, help="the file (the encoder's name, with .yaml)")
    command.set_defaults(action=_describe)


def _describe(args: argparse.Namespace) -> None:
    from soda.runtime.foreign import ForeignEncoder, describe
    from soda.runtime.foreign_settings import write_preprocessing

    settings, remarks = describe(args.encoder)
    width = ForeignEncoder(args.encoder, settings, threads=1).width
    target = args.output or args.encoder.with_suffix(".yaml")
    write_preprocessing(target, settings, remarks)
    print(f"{target}: {width} numbers a picture from its output {settings.output}; look it through, then")
    print(f"soda embed FOLDER --encoder {args.encoder} --preprocess {target}")
    for key, remark in remarks.items():
        if "guess" in remark:
            print(f"  {key}: {remark}")
