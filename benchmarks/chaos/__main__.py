"""`make chaos`: python -m benchmarks.chaos --kills 240 --minutes 60 --seed 1. It ends after these kills or that time."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

from benchmarks.chaos import processes, world
from benchmarks.chaos.by_hand import ByHand
from benchmarks.chaos.misfortunes import MISFORTUNES
from benchmarks.chaos.sameness import Undisturbed
from benchmarks.chaos.server import Server
from benchmarks.chaos.service import Service
from benchmarks.chaos.tally import Round, Tally
from soda.common.files import write_json

RESULT = world.ROOT / "docs/results/chaos.json"
_SPANS = (("fetch", "validate"), ("train", "train"), ("prepare", "prepare"), ("report", "report"), ("train", "report"))


def _say(words: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {words}\n")
    sys.stdout.flush()


def _run(place: Path, stage: str, server: Server) -> float:
    began = time.monotonic()
    status, words = world.run(place, stage, server.url, server.auth, seconds=1800)
    if status:
        raise RuntimeError(f"an undisturbed run failed: {words[-2000:]}")
    return time.monotonic() - began


def _undisturbed(folder: Path, server: Server, until: str) -> tuple[dict[str, Path], dict[str, Undisturbed], dict[str, float]]:
    """Copies from before each stage up to `until`; what two undisturbed runs have after it; how long it took, in seconds.

    What an earlier campaign left in `folder` is taken again, with the code of today's flows.
    """
    base, other, noted = folder / "base", folder / "other", folder / "times.json"
    stages = world.STAGES[: world.STAGES.index(until) + 1]
    before = {stage: folder / "before" / stage for stage in stages}
    if noted.exists():
        times = json.loads(noted.read_text())
        for stage in stages:
            world.bring_code(before[stage])
    else:
        world.copy(base, other)
        whole, times = _guarded("the other run", _run, other, until, server), {}
        for stage in stages:
            world.copy(base, before[stage])
            times[stage] = _run(base, stage, server)
            _say(f"{stage}: {times[stage]:.0f} s undisturbed")
        whole.join()
        write_json(noted, times)
    results = [*(before[stage] for stage in stages[1:]), base]
    return before, {stage: Undisturbed(result, other) for stage, result in zip(stages, results, strict=True)}, times


class Campaign:
    """All rounds until enough kills were counted or the time is over."""

    def __init__(self, tally: Tally, kills: int, minutes: float, seed: int) -> None:
        self.tally, self._kills, self._end, self._seed = tally, kills, time.monotonic() + 60 * minutes, seed

    @property
    def over(self) -> bool:
        return time.monotonic() > self._end or int(self.tally.figures["kills"]) >= self._kills

    def by_hand(self, rounds: ByHand, lane: int, each: int) -> None:
        """Rounds of `each` kills; every third ends in a misfortune."""
        count = int(self.tally.figures["rounds"])
        draws = random.Random(f"{self._seed} {lane} {count}")
        while not self.over:
            count += 1
            misfortune = list(MISFORTUNES)[(count // 3 + lane) % len(MISFORTUNES)] if count % 3 == 0 else None
            done = Round(self.tally.struck)
            rounds.round(done, draws, each, misfortune)
            self.tally.add(done.kills, done.others, done.wrong)
            kinds = [f"{stage}: {kind}" for kind, stage, _ in done.kills]
            _say(f"lane {lane}: {kinds} {misfortune or ''} {done.wrong or 'recovered'}")

    def service(self, service: Service) -> None:
        """Runs of the deployment, the first of them all stages."""
        service.start()
        draws = random.Random(f"{self._seed} service {self.tally.figures['rounds']}")
        spans, first = (("fetch", "report"), *(draws.choice(_SPANS) for _ in range(1000))), True
        for span in spans:
            if self.over:
                return
            done = Round(self.tally.struck)
            service.round(done, draws, draws.randint(2, 4), span, first)
            first = False
            self.tally.add(done.kills, done.others, done.wrong)
            self.tally.note(longest_running_without_process_s=round(service.longest_dead, 1))
            _say(f"service: {span} {[kind for kind, *_ in done.kills]} {done.wrong or 'recovered'}")


def _guarded(name: str, work, *arguments) -> threading.Thread:  # type: ignore[no-untyped-def]
    def run() -> None:
        try:
            work(*arguments)
        except Exception:
            _say(f"{name} ended: {traceback.format_exc()}")

    thread = threading.Thread(target=run, name=name)
    thread.start()
    return thread


def main(arguments: list[str] | None = None) -> int:
    """Returns 0 when everything recovered."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=240)
    parser.add_argument("--minutes", type=float, default=60.0, help="of disturbed runs, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--until", default="report", choices=world.STAGES, help="the last stage that is disturbed")
    parser.add_argument(
        "--stages", nargs="*", choices=world.STAGES, help="those that rounds by hand disturb; all where none is named"
    )
    parser.add_argument("--lanes", type=int, default=1, help="rounds by hand at the same time")
    parser.add_argument("--no-service", action="store_true", help="without server, worker and deployment rounds")
    parser.add_argument("--folder", type=Path, help="kept, and taken again by the next campaign; empty: a temporary one")
    parser.add_argument("--resume", action="store_true", help="go on with the figures that --output has")
    parser.add_argument("--output", type=Path, default=RESULT)
    given = parser.parse_args(arguments)
    folder = given.folder or Path(tempfile.mkdtemp(prefix="soda-chaos-"))
    tally = Tally(given.output, given.seed, given.resume)
    server = service = None
    try:
        if not (folder / "fresh").exists():
            world.lay_out(folder / "fresh")
            world.copy(folder / "fresh", folder / "base")
        world.bring_code(folder / "fresh")
        server = Server(world.copy(folder / "fresh", folder / "server"))
        server.start()
        if not given.no_service:
            service = Service(world.copy(folder / "fresh", folder / "service"))
        before, after, times = _undisturbed(folder, server, given.until)
        tally.note(compared_by_presence=after[given.until].by_presence, files=len(after[given.until].names))
        chosen = {stage: copy for stage, copy in before.items() if stage in (given.stages or before)}
        campaign, threads = Campaign(tally, given.kills, given.minutes, given.seed), []
        if service is not None:
            service.same = after[given.until]
            threads.append(_guarded("service", campaign.service, service))
        for lane in range(given.lanes):
            (folder / f"lane{lane}").mkdir()
            rounds = ByHand(folder / f"lane{lane}", chosen, after, times, server)
            threads.append(_guarded(f"lane {lane}", campaign.by_hand, rounds, lane, 6))
        for thread in threads:
            thread.join()
    finally:
        for each in (service, server):
            if each is not None:
                processes.kill(processes.of(each.project))
        if given.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    figures = tally.figures
    _say(f"{figures['kills']} kills ({figures['aimed']} aimed), {figures['recovered']} recovered, {figures['stuck']} stuck")
    return 0 if not figures["stuck"] and figures["misfortunes"] == figures["misfortunes_recovered"] else 1


if __name__ == "__main__":
    sys.exit(main())
