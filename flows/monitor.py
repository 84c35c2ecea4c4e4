"""The flow that looks for drift: the sample of the service, or a folder, against what the released encoder was made for."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.exceptions import TerminationSignal
from prefect.states import Completed, Failed, State

from flows.command import run_soda
from flows.pages import banner
from flows.quiet import calm_logs
from flows.released import released_encoder
from flows.run_name import name_of_start
from flows.stopping import stopped
from flows.workspace import project_of
from soda.common.errors import FileError, SodaError
from soda.layout import DRIFT
from soda.report.presentation import markdown_table


@flow(name="soda-monitor", flow_run_name=name_of_start, persist_result=False)
def monitor(sample: str = "drift/sample.npz", reference: str = "", rate: float = 0.05) -> State[Any]:
    """Compare what comes in with what the released encoder was made for; the run fails, named Drift, when it differs.

    Args:
        sample: what `soda serve --sample` writes, which begins anew after this, or a folder of pictures; from the project's
            folder on.
        reference: what `soda reference` wrote; empty: made of the prepared data of the last run, once for each release.
        rate: of false alarms that is accepted, of all comparisons together.
    """
    calm_logs()
    log, root = get_run_logger(), Path.cwd()
    project = project_of(root)
    try:
        encoder = released_encoder(project)
        against = project / reference if reference else project / DRIFT / f"reference-{encoder.parent.name}.npz"
        if not reference and not against.exists():
            run_soda(["reference", "-o", str(against), "--encoder", str(encoder)], root, log.info)
        taken = _take(project / sample, project / DRIFT)
        page = project / DRIFT / f"{taken.stem}.html"
        asked = [str(against), str(taken), "-o", str(page), "--encoder", str(encoder), "--rate", str(rate)]
        run_soda(["drift", *asked], root, log.info)
        found = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    except SodaError as error:
        return Failed(message=str(error))
    except (KeyboardInterrupt, TerminationSignal) as signalled:
        return stopped(signalled, "stopped before anything was compared")
    create_markdown_artifact(drift_markdown(found, page), key="drift", description=found["about"])
    return Failed(name="Drift", message=found["about"]) if found["alarm"] else Completed(message=found["about"])


def _take(sample: Path, folder: Path) -> Path:
    """A folder of pictures stays; a sample is taken away, by which the next one begins. Raises FileError for neither."""
    if sample.is_dir():
        return sample
    if not sample.is_file():
        raise FileError(f"{sample}: no sample; `soda serve --sample {sample}` keeps one, or name a folder of pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return sample.rename(folder / f"{sample.stem}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.npz")


def drift_markdown(found: dict[str, Any], page: Path) -> str:
    """What `soda drift` found, as a page."""
    cells = [
        ("**ALARM**" if each["alarm"] else "ok", each["name"], *(f"{each[key]:.4g}" for key in ("value", "usual", "p")))
        for each in found["comparisons"]
    ]
    table = markdown_table(("", "compared", "value", "usual", "p"), cells)
    mark = banner("DRIFT" if found["alarm"] else "NO DRIFT", good=not found["alarm"])
    return f"# Drift\n\n{mark}\n\n{found['about']}\n\n{table}\n\n[{page.name}]({page.as_uri()}): the most unlike pictures"
