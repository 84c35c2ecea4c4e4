"""A project of its own to live through the days: a clone with its own DVC, Git and Prefect server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, PREFECT_HOME

from flows.password import make_password
from flows.temporary_server import free_port, healthy

SMALL = [
    "train=smoke train.threads=1 train.processes=1 train.device=cpu dataset.image_size=16 dataset.workers=1",
    "dataset.duplicates=drop dataset.max_unreadable=0.02 model.encoder_width=8 model.channels=8 model.channel_mult=[1,2,2]",
    "model.latent_dim=16 model.time_dim=16 diffusion.num_timesteps=50 diffusion.sampling_steps=5",
    "evaluate.supervised=false evaluate.untrained_draws=1 evaluate.reconstructions=32 evaluate.fid_images=16",
    "evaluate.curve_images=2 evaluate.exact_images=2 evaluate.reader_images=1 evaluate.mix_pairs=2 evaluate.attribute_images=2",
    "evaluate.dci_images=2 evaluate.vae_share=0 evaluate.view_regressor_images=0",
    "export.parity_images=24 export.decoder_images=4 export.int8=false export.probe_images=60",
]
LENGTHS = {1: 2560, 50: 6400, 96: 12800, 150: 25600}
"""From which day on a training sees how many images, as the deployment is set up from the first day on."""

LAST_CHANGE = max(LENGTHS)


def overrides(day: int) -> str:
    """The settings of that day's training."""
    images = next(length for first, length in reversed(LENGTHS.items()) if day >= first)
    held_out = ["dataset.test_fraction=0.18"] if day >= LAST_CHANGE else []  # drift needs a reference of 200
    return " ".join([*SMALL, f"train.images={images}", *held_out])


def lay_out(root: Path, source: Path) -> None:
    """A clone of the project's last commit, without what its runs made."""
    subprocess.run(["git", "clone", "--quiet", "--local", "--no-tags", str(source), str(root)], check=True)
    for name in ("user.name=days", "user.email=days@localhost"):
        subprocess.run(["git", "config", *name.split("=")], cwd=root, check=True)
    (root / "dvc.lock").unlink(missing_ok=True)  # what it names lies in another cache


class Server:
    """Prefect's server of the project, kept alive as the unit with Restart= does; a context manager."""

    def __init__(self, home: Path) -> None:
        self.home, self.port, self.starts = home, free_port(), 0
        self.password = make_password(home)
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def settings(self) -> dict[Any, Any]:
        """What makes this process report to it."""
        return {PREFECT_HOME: self.home, PREFECT_API_URL: self.url, PREFECT_API_AUTH_STRING: self.password}

    def _keep(self) -> None:
        command = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port), "--no-ui"]
        around = {**os.environ, "PREFECT_HOME": str(self.home), "PREFECT_SERVER_API_AUTH_STRING": self.password}
        while not self._ending.is_set():
            with (self.home / "days-server.log").open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, *command], env=around, stdout=log, stderr=log, start_new_session=True
                )
            self.starts += 1
            self._process.wait()
            self._ending.wait(5)

    def lose(self) -> None:
        """SIGKILL, as a power cut would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        self._keeper.start()
        deadline = time.monotonic() + 180
        while not healthy(self.url):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.home / 'days-server.log'}: the server did not come up")
            time.sleep(0.2)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ending.set()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.lose()
