"""Images drawn with a checkpoint of a training that is at work. `python -m soda.report.glimpse runs/KEY/checkpoint.pt`, in the
project's folder, prints JSON: `images`, how many it was trained on, and `png`, the sheet in base64.

A process of its own, of the lowest priority and with one thread: it takes no random number, no memory and hardly any time of the
training's. It ends when its standard input does, with the process that asked for it.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from soda.common.errors import SodaError

COUNT, STEPS, SIDE = 8, 16, 64
"""Validation images that are drawn, the most steps to draw them in, and px of one on the sheet."""


def glimpse(checkpoint: Path, params: Path, prepared: Path) -> dict[str, Any]:
    """What the averaged model of a checkpoint draws of COUNT validation images from their z alone, below the images.

    A model that is told of cameras draws its targets. Raises what reading raises; RuntimeError when the checkpoint is of other
    settings.
    """
    import torch

    from soda.common.images import to_uint8
    from soda.config import load
    from soda.data.dataset import PreparedData
    from soda.inference.drawer import Drawer, Sampling
    from soda.model.network import build_model
    from soda.training.held_out import read_held_out
    from soda.training.loop import USE_IMAGES
    from soda.viz.sheets import grid

    torch.set_num_threads(1)
    config = load(params)
    state = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)  # the optimizer's part is not read
    network = build_model(config)
    network.load_state_dict(state["ema"])
    batch = read_held_out(PreparedData(prepared), config, USE_IMAGES)
    batch = batch[:: max(1, len(batch) // COUNT)][:COUNT]  # the first ones may all be of one label
    if len(batch) == 0:
        raise SodaError(f"{prepared}: no validation images to draw")
    drawer = Drawer(network.eval().requires_grad_(False))
    z, context = drawer.encode_views(batch.sources, batch.source_cameras)
    sampling = Sampling(steps=min(STEPS, config.diffusion.sampling_steps))
    drawn = drawer.draw(z, sampling=sampling, cameras=batch.target_cameras, context=context)
    sheet, file = grid([list(to_uint8(batch.target)), list(to_uint8(drawn))], lead_row=True, side=SIDE), io.BytesIO()
    sheet.save(file, "PNG", optimize=True)
    images = int(state["step"]) * config.train.batch_size
    return {"images": images, "png": base64.b64encode(file.getvalue()).decode()}


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def main(arguments: list[str]) -> int:
    """Returns the exit status; one line on standard error says what went wrong."""
    os.nice(19)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the training's memory there is its own
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    threading.Thread(target=_end_with_input, daemon=True).start()
    from soda.config import PARAMS_FILE
    from soda.layout import PREPARED

    try:
        with contextlib.redirect_stdout(sys.stderr):
            found = glimpse(Path(arguments[0]), Path(PARAMS_FILE), PREPARED)
    except Exception as error:  # whatever it is: training goes on, and the page without this sheet
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    os._exit(status)  # its thread waits for input
