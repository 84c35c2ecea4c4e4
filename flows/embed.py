"""The flow of `soda embed`: a folder of pictures to a table of vectors, with the encoder that is released."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.exceptions import TerminationSignal
from prefect.states import Completed, Failed, State

from flows.command import run_soda
from flows.quiet import calm_logs
from flows.released import released_encoder
from flows.run_name import name_of_start
from flows.stopping import stopped
from flows.workspace import project_of
from soda.common.errors import SodaError


@flow(name="soda-embed", flow_run_name=name_of_start, persist_result=False)
def embed(folder: str, output: str = "", encoder: str = "") -> State[Any]:
    """Embed every picture of a folder; a run that was broken off goes on where it was.

    Args:
        folder: of the pictures, from the project's folder on.
        output: the table, .parquet or .npz; empty: beside the folder, under its name.
        encoder: an ONNX file of yours; empty: the released one.
    """
    calm_logs()
    log, project = get_run_logger(), project_of(Path.cwd())
    pictures = project / folder
    table = project / output if output else pictures.with_name(f"{pictures.name}.parquet")
    try:
        model = project / encoder if encoder else released_encoder(project)
        run_soda(["embed", str(pictures), "-o", str(table), "--encoder", str(model)], project, log.info)
    except SodaError as error:
        return Failed(message=str(error))
    except (KeyboardInterrupt, TerminationSignal) as signalled:
        return stopped(signalled, "stopped; the same run goes on from what it has")
    return Completed(message=f"{table}: made with {model}")
