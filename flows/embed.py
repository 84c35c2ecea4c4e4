"""The flow of `soda embed`: a folder of pictures to a table of vectors, with the encoder that is released.

python -m flows.embed FOLDER [--output FILE] [--encoder FILE] [--engine dask --workers 4]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.exceptions import TerminationSignal
from prefect.states import Completed, Failed, State

from flows.by_hand import by_hand
from flows.command import run_soda
from flows.engines import THREADS, Engine, runner_of
from flows.killed import Left
from flows.quiet import calm_logs
from flows.released import released_encoder
from flows.run_name import name_of_start
from flows.shared import PICTURES, embed_over
from flows.stopping import leave, stopped
from flows.workspace import project_of
from soda.common.errors import SodaError

_LEFT = Left(
    "What it had embedded stays; the same run goes on from there", "its --batch-size and --workers, by hand", trains=False
)


@flow(name="soda-embed", flow_run_name=name_of_start, persist_result=False)
def embed(
    folder: str,
    output: str = "",
    encoder: str = "",
    engine: Engine = THREADS,
    workers: int = 2,
    address: str = "",
    pictures: int = PICTURES,
    verify: str = "",
) -> State[Any]:
    """Embed every picture of a folder, or of the tars in it; a run that was broken off goes on where it was.

    Args:
        folder: of the pictures, from the project's folder on.
        output: the table, .parquet or .npz; empty: beside the folder, under its name.
        encoder: an ONNX file of yours; empty: the released one.
        engine: threads is one process; dask and ray are many workers, each of one thread.
        workers: of a cluster that is started for this run, on this machine.
        address: of a cluster that is there, instead (tcp://host:8786, ray://host:10001); its workers must see this disk.
        pictures: of one task, about.
        verify: the public key that the encoder's release must be signed with; empty: it is taken as it is.
    """
    calm_logs()
    log, project = get_run_logger(), project_of(Path.cwd())
    source = project / folder
    table = project / output if output else source.with_name(f"{source.name}.parquet")
    try:
        model = project / encoder if encoder else released_encoder(project)
        if verify:
            run_soda(["verify", str(model.parent), "--key", str(project / verify)], project, log.info)
        if engine == THREADS:
            run_soda(["embed", str(source), "-o", str(table), "--encoder", str(model)], project, log.info, _LEFT)
            return Completed(message=f"{table}: made with {model}")
        done = embed_over(runner_of(engine, workers, address), model, source, table, pictures)
    except SodaError as error:
        return Failed(message=str(error))
    except (KeyboardInterrupt, TerminationSignal) as signalled:
        return stopped(signalled, "stopped; the same run goes on from what it has")
    kept = f", {done.kept:,} of them as they were" if done.kept else ""
    kept += f", {done.resumed:,} of them by an earlier run" if done.resumed else ""
    unread = f"; {done.skipped:,} cannot be read: {done.rejects}" if done.skipped else ""
    return Completed(message=f"{table}: {done.pictures:,} pictures{kept}, made with {model}{unread}")


def main(arguments: list[str] | None = None) -> int:
    """Run the flow by hand. Returns the exit status: 0 when it completed."""
    parser = argparse.ArgumentParser(prog="python -m flows.embed", description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", help="of the pictures, or of tars of pictures")
    parser.add_argument("--output", default="", help="the table (beside the folder, under its name)")
    parser.add_argument("--encoder", default="", help="an ONNX file (the released one)")
    parser.add_argument("--engine", default=THREADS, choices=("threads", "dask", "ray"), help="threads: one process")
    parser.add_argument("--workers", type=int, default=2, help="processes of a cluster on this machine (2)")
    parser.add_argument("--address", default="", help="of a cluster that is there, instead")
    parser.add_argument("--pictures", type=int, default=PICTURES, help=f"of one task, about ({PICTURES})")
    parser.add_argument(
        "--verify", default="", metavar="PUB", help="the public key that the encoder's release must be signed with"
    )
    given = parser.parse_args(arguments)
    return by_hand(lambda: embed(**vars(given), return_state=True))


if __name__ == "__main__":
    leave(main())
