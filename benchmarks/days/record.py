"""What the days came to: the figures, and a page with a line a day."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from soda.release.store import read_pointer, versions

_LONGEST = 150  # characters of what a flow said


def figures(days: list[dict[str, Any]], root: Path) -> dict[str, Any]:
    """The figures of days.json. root: the project."""
    states = Counter((said["flow"], said["state"]) for day in days for said in day["said"])
    bad = [day for day in days if not day["wanted"]]
    good = [day for day in days if day["what"].endswith("good pictures")]
    aside = [day["day"] for day in days if day["said"][0]["state"] == "SetAside"]
    pointer = read_pointer(root / "releases")
    return {
        "days": len(days),
        "by_hand": 0,  # no day asks anybody: the loop has no place for it, and a day that raises ends it
        "batches": len(bad) + len(good),
        "bad_batches": len(bad),
        "set_aside": len(aside),
        "bad_batches_taken_in": [day["day"] for day in bad if day["day"] not in aside],
        "good_batches_set_aside": [day["day"] for day in good if day["day"] in aside],
        "trainings": sum("stages done" in day["said"][0]["message"] or _judged(day) for day in days),
        "releases": len(versions(root / "releases")),
        "not_better": states["ingest", "NotBetter"] + sum("it is not released" in day["said"][0]["message"] for day in days),
        "rollbacks": states["rollback", "Completed"],
        "in_use_at_the_end": pointer.version,
        "drift": {str(day["day"]): said["state"] for day in days for said in day["said"] if said["flow"] == "monitor"},
        "failed": [day["day"] for day in days if day["said"][0]["state"] in ("Failed", "Crashed")],
        "server_losses": sum(b["server_starts"] > a["server_starts"] for a, b in pairwise(days)),
        "seconds": round(sum(day["seconds"] for day in days)),
    }


def _judged(day: dict[str, Any]) -> bool:
    """Whether the day came as far as the release's gates, for which it has trained."""
    message = day["said"][0]["message"]
    return "released and in use" in message or "it is not released" in message or "in use already" in message


def write_page(path: Path, days: list[dict[str, Any]], found: dict[str, Any], folder: Path) -> None:
    """A line a day; days on which nothing came and nothing was done are told together.

    found: the figures; folder: where the project was, which messages are told without.
    """
    counted = ("days", "trainings", "releases", "not_better", "set_aside", "rollbacks", "server_losses", "seconds")
    lines = [
        "# Two hundred days by itself",
        "",
        "What `make days` printed, shortened: each day the flow `ingest`, on some days others, in a clone with its own DVC, Git",
        "and Prefect server on loopback. Time is compressed, the models are tiny, the stages real. No day asks anybody.",
        "The bad days, the loss of the server (SIGKILL amid a run; it is started again as systemd's unit does) and two alarms",
        "of the users, which an automation would hand to `rollback`, stand in the calendar, benchmarks/days/calendar.py.",
        "",
        ", ".join(f"{key.replace('_', ' ')} {found[key]}" for key in counted) + ".",
        "",
        "| day | what came | what was done |",
        "|---|---|---|",
    ]
    quiet: list[int] = []
    for day in [*days, None]:
        if day is not None and day["what"] == "nothing comes" and day["said"][0]["message"].endswith("nothing new"):
            quiet.append(day["day"])
            continue
        if quiet:
            span = f"{quiet[0]}" if len(quiet) == 1 else f"{quiet[0]} to {quiet[-1]}"
            lines.append(f"| {span} | nothing | nothing new |")
            quiet = []
        if day is not None:
            told = "; ".join(f"{said['flow']}: **{said['state']}** {_short(said['message'], folder)}" for said in day["said"])
            lines.append(f"| {day['day']} | {day['what']} | {told} |")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _short(message: str, folder: Path) -> str:
    text = " ".join(message.split()).replace("|", "/").replace(f"{folder}/project/", "").replace(f"{folder}/", "")
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
