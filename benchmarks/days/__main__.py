"""Lives through the days, one line a day; what was done so far is kept in the folder and gone on from."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from prefect.settings import temporary_settings

from benchmarks.days.calendar import BATCH, DAYS, DRIFT, FIRST, ROLLBACKS, SERVER_LOSS, TIDY, Day, batch, calendar
from benchmarks.days.project import Server, lay_out, overrides
from benchmarks.days.record import figures, write_page
from benchmarks.gate_faults.worlds import Picture, encoded
from soda.common.files import write_json
from soda.release.store import read_pointer

NOTEBOOK = Path("docs/notebook/days.md")
FIGURES = Path("docs/results/days.json")


def write_pictures(pictures: list[Picture], folder: Path) -> None:
    """Add pictures to a folder."""
    for picture in pictures:
        path = folder / picture.place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture.pixels) if picture.data is None else picture.data)


def live(day: Day, camera: Path, server: Server) -> list[dict[str, Any]]:
    """One day in the project that is the working directory: what came, and what each flow said."""
    from flows.ingest import ingest
    from flows.monitor import monitor
    from flows.released import rollback
    from flows.tidy import tidy

    if day.make is not None:
        write_pictures(day.make(np.random.default_rng((6, day.number))), camera)
    if day.number == SERVER_LOSS:
        threading.Timer(20, server.lose).start()
    said = [_said("ingest", ingest(str(camera), overrides=overrides(day.number), return_state=True))]
    if day.number in ROLLBACKS:
        withdrawn = read_pointer(Path("releases")).withdrawn if "forth" in day.what else ()
        said.append(_said("rollback", rollback(withdrawn[0] if withdrawn else "", return_state=True)))
    if day.number in TIDY:
        said.append(_said("tidy", tidy(days=30, artifacts=3, delete=True, return_state=True)))
    if day.number in DRIFT:
        seen = batch(np.random.default_rng((8, day.number)), 0, FIRST)
        if DRIFT[day.number]:
            seen = [Picture("", "", each.kind, each.name, each.pixels[..., ::-1].copy()) for each in seen]
        folder = Path(f"data/incoming.seen-{day.number}")
        write_pictures(seen, folder)
        said.append(_said("monitor", monitor(str(folder), return_state=True)))
    return said


def _said(flow: str, state: Any) -> dict[str, Any]:
    return {"flow": flow, "state": state.name, "message": str(state.message or "")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the project of these days is, or will be")
    parser.add_argument("--until", type=int, default=DAYS, help="the last day")
    given = parser.parse_args()
    source, root = Path.cwd(), given.folder.resolve() / "project"
    if not root.exists():
        given.folder.mkdir(parents=True, exist_ok=True)
        lay_out(root, source)
    home = root / ".prefect"
    home.mkdir(exist_ok=True)
    os.environ |= {"PREFECT_HOME": str(home), "PYTHONPATH": str(root), "SODA_PYTHON": sys.executable, "DVC_NO_ANALYTICS": "1"}
    os.environ |= {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "GX_ANALYTICS_ENABLED": "false"}
    os.chdir(root)
    with Server(home) as server, temporary_settings(server.settings):
        days = _live_all(given.folder.resolve(), given.until, server)
    found = figures(days, root)
    write_json(source / FIGURES, found)
    write_page(source / NOTEBOOK, days, found, given.folder.resolve())
    print(found)


def _live_all(folder: Path, until: int, server: Server) -> list[dict[str, Any]]:
    kept = folder / "days.json"
    done = json.loads(kept.read_text())["days"] if kept.exists() else []
    logging.getLogger("prefect").setLevel(logging.WARNING)
    for day in calendar()[len(done) : until]:
        began = time.monotonic()
        said = live(day, folder / "camera", server)
        done.append({"day": day.number, "what": day.what, "wanted": day.wanted, "new": BATCH * bool(day.make), "said": said})
        done[-1]["seconds"] = round(time.monotonic() - began, 1)
        done[-1]["server_starts"] = server.starts
        write_json(kept, {"days": done})
        print(day.number, day.what, done[-1]["seconds"], [(each["state"], each["message"][:200]) for each in said], flush=True)
    return done


if __name__ == "__main__":
    main()
