"""`soda new` and `soda run`: a project of one's own, and all of its stages."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

QUIET = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}


def add_commands(commands: Any) -> None:
    command = commands.add_parser("new", help="a project of your own: settings, stages, Git and DVC in a new folder")
    command.add_argument("project", type=Path, metavar="DIR", help="a new or an empty folder")
    command.add_argument("--folder", type=Path, metavar="IMAGES", help="of pictures to train on; they stay where they are")
    command.add_argument(
        "--set", nargs="+", default=[], metavar="OVERRIDE", help="as of `soda compose`: experiment=emoji train=long"
    )
    command.set_defaults(action=_new)

    command = commands.add_parser("run", help="all stages of the project in this folder, as `make pipeline` in a checkout")
    command.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="as of `soda compose`; none: those of the run before")
    command.add_argument("--from-stage", metavar="STAGE", help="leave the stages before it as they are")
    command.add_argument("--until-stage", metavar="STAGE", help="end after it")
    command.add_argument("--force", action="store_true", help="run stages that are up to date, too")
    command.set_defaults(action=_run)


def _new(args: argparse.Namespace) -> None:
    from soda.common.errors import MissingFolderError
    from soda.config import compose, write_params
    from soda.config.chosen import remember_overrides
    from soda.data.choice import choose
    from soda.projects.project import commit, make_project

    overrides = list(args.set)
    if args.folder:
        if not args.folder.is_dir():
            raise MissingFolderError(f"{args.folder}: no such folder")
        overrides = ["dataset=folder", f"dataset.path={args.folder.resolve()}", *overrides]
    make_project(args.project)
    try:
        with chdir(args.project):
            values = compose(overrides)
            if chosen := choose(values, overrides):
                print(chosen, file=sys.stderr)
            write_params(values)
            remember_overrides(overrides)
    except BaseException:  # a wrong setting: the same command works once it is mended
        shutil.rmtree(args.project)
        raise
    if not commit(args.project):
        print("not committed: Git is missing, or does not know your name (git config user.email)", file=sys.stderr)
    print(f"{args.project}: a project for {values['dataset']['name']}. Next: cd {shlex.quote(str(args.project))} && soda run")


def _run(args: argparse.Namespace) -> None:
    """Ends in the flow's own process, so that it gets the signals of the terminal."""
    from soda.projects.project import follow_package

    changed, kept = follow_package(Path())
    if changed:
        print(f"brought up to the installed package: {', '.join(changed)}", file=sys.stderr)
    if kept:
        print(f"yours, and left as they are though the package changed them: {', '.join(kept)}", file=sys.stderr)
    own = {"PREFECT_HOME": str(Path(".prefect").resolve())}
    command = [sys.executable, "-m", "flows.pipeline", "--overrides", shlex.join(args.overrides)]
    command += ["--from-stage", args.from_stage] if args.from_stage else []
    command += ["--until-stage", args.until_stage] if args.until_stage else []
    command += ["--force"] if args.force else []
    sys.stdout.flush()
    os.execve(sys.executable, command, {**os.environ, **QUIET, **own})
