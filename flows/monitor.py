"""The flow that looks for drift: the sample of the service, or a folder, against what the released encoder was made for."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run
from prefect.states import Completed, Failed, State

from flows.command import CommandError, run_soda
from flows.lock import WorkspaceBusyError, workspace_lock
from flows.pages import banner
from flows.quiet import calm_logs
from flows.released import released_encoder
from flows.run_name import name_of_start
from flows.stopping import stopped
from flows.workspace import project_of
from soda.common.errors import SodaError
from soda.common.files import whole_file
from soda.layout import DRIFT
from soda.monitor import OtherEncoderError, TooFewError
from soda.monitor.keeping import set_aside
from soda.report.presentation import markdown_table


@flow(name="soda-monitor", flow_run_name=name_of_start, persist_result=False)
def monitor(sample: str = "drift/sample.npz", reference: str = "", rate: float = 0.05) -> State[Any]:
    """Compare what comes in with what the released encoder was made for; the run fails, named Drift, when it differs.

    Where there is nothing to compare yet the run completes, and its name says why: NothingSeen, TooFew, OtherEncoder (the sample
    is put aside), Postponed (a run holds the data that the reference is made of).

    Args:
        sample: what `soda serve --sample` or `soda embed --keep-sample` writes, which begins anew once it was compared, or a
            folder of pictures; from the project's folder on.
        reference: what `soda reference` wrote; empty: made of the prepared data of the last run, once for each release.
        rate: of false alarms that is accepted, of all comparisons together.
    """
    calm_logs()
    log, root = get_run_logger(), Path.cwd()
    project = project_of(root)
    try:
        encoder, given = released_encoder(project), project / sample
        against = project / reference if reference else project / DRIFT / f"reference-{encoder.parent.name}.npz"
        if not given.exists():
            keeps = f"`soda serve --sample {given}` or `soda embed --keep-sample {given}` keeps one"
            return Completed(name="NothingSeen", message=f"{given}: no picture was seen since the last comparison; {keeps}")
        if not reference and not against.exists():
            with workspace_lock(root, str(flow_run.get_id())):  # it is made of prepared data, which a run may be making anew
                run_soda(["reference", "-o", str(against), "--encoder", str(encoder)], root, log.info)
        with _taken(given, project / DRIFT) as taken:
            page = project / DRIFT / f"{taken.stem}.html"
            asked = [str(against), str(taken), "-o", str(page), "--encoder", str(encoder), "--rate", str(rate)]
            run_soda(["drift", *asked], root, log.info)
        found = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    except WorkspaceBusyError as busy:
        return Completed(name="Postponed", message=f"the reference is made of data that a run is at work on; {busy}")
    except SodaError as error:
        return (_not_yet(given, error) if isinstance(error, CommandError) else None) or Failed(message=str(error))
    except (KeyboardInterrupt, TerminationSignal) as signalled:
        return stopped(signalled, "stopped before anything was compared")
    create_markdown_artifact(drift_markdown(found, page), key="drift", description=found["about"])
    return Failed(name="Drift", message=found["about"]) if found["alarm"] else Completed(message=found["about"])


def _not_yet(sample: Path, error: CommandError) -> State[Any] | None:
    """Where a sample cannot be compared by nobody's fault: it is left where it is, or put aside, and this is no alarm."""
    if error.status == TooFewError.exit_code:
        return Completed(name="TooFew", message=f"{sample}: more come to it. {error}")
    if error.status == OtherEncoderError.exit_code and sample.is_file():
        aside = set_aside(sample)
        why = "the sample is of another encoder than the released one, from before a release or a way back"
        return Completed(name="OtherEncoder", message=f"{why}: it lies in {aside}, and the next begins")
    return None


@contextmanager
def _taken(sample: Path, folder: Path) -> Iterator[Path]:
    """A folder of pictures stays. Of a sample a copy is judged, and where that went well the sample goes: the next one begins.

    A run that is killed, or that fails, leaves the sample where it is.
    """
    if sample.is_dir():
        yield sample
        return
    copy = folder / f"{sample.stem}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.npz"
    with whole_file(copy) as temporary:
        shutil.copyfile(sample, temporary)
    try:
        yield copy
    except BaseException:
        copy.unlink()
        raise
    sample.unlink(missing_ok=True)


def drift_markdown(found: dict[str, Any], page: Path) -> str:
    """What `soda drift` found, as a page."""
    cells = [
        ("**ALARM**" if each["alarm"] else "ok", each["name"], *(f"{each[key]:.4g}" for key in ("value", "usual", "p")))
        for each in found["comparisons"]
    ]
    table = markdown_table(("", "compared", "value", "usual", "p"), cells)
    mark = banner("DRIFT" if found["alarm"] else "NO DRIFT", good=not found["alarm"])
    return f"# Drift\n\n{mark}\n\n{found['about']}\n\n{table}\n\n[{page.name}]({page.as_uri()}): the most unlike pictures"
