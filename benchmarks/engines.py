"""A large set embedded over 1 and 2 workers of Dask, one of them killed half-way: is every row there once, and what does it cost?

python -m benchmarks.engines [--count 200000] [--workers 1 2] [--engine dask]

Draws small pictures into tars (in a temporary folder), makes a small encoder, embeds them by `soda embed` in one process, then by
workers, and by the most of them once more, one killed (SIGKILL) when half of the parts are there. Ends with 1 where a row is
missing, double, out of order or another one than `soda embed` made.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import psutil
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from prefect.settings import PREFECT_HOME, temporary_settings

from soda.runtime import Encoder
from soda.runtime.metadata import FORMAT, to_props
from soda.vectors.job import embed_folder
from soda.vectors.pieces import PART
from soda.vectors.store import read_blocks

SIDE, WIDTH = 16, 32
A_TAR = 10_000


def write_encoder(path: Path) -> None:
    """Two convolutions and a mean with weights drawn at random: uint8 (N, H, W, 3) -> z (N, WIDTH)."""
    rng, weights = np.random.default_rng(0), []
    for name, shape in (("a", (16, 3, 3, 3)), ("b", (WIDTH, 16, 3, 3))):
        drawn = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        weights.append(numpy_helper.from_array(drawn.astype(np.float32), name))
    weights.append(numpy_helper.from_array(np.float32(1 / 255), "scale"))
    convolution = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Cast", ["images"], ["bytes"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["bytes", "scale"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["x"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["x", "a"], ["h"], **convolution),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Conv", ["r", "b"], ["g"], **convolution),
        helper.make_node("GlobalAveragePool", ["g"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["z"]),
    ]
    inputs = [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", "h", "w", 3])]
    outputs = [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", WIDTH])]
    graph = helper.make_graph(nodes, "small", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    about = {"format": FORMAT, "latent_dim": WIDTH, "image_size": SIDE, "channels": 3, "resize": "crop"}
    helper.set_model_props(model, to_props({**about, "z_mean": [0.0] * WIDTH, "z_std": [1.0] * WIDTH}))
    path.write_bytes(model.SerializeToString())
    onnx.checker.check_model(str(path))


def draw(folder: Path, count: int) -> None:
    """`count` PNGs of noise, A_TAR a tar."""
    folder.mkdir()
    for start in range(0, count, A_TAR):
        with tarfile.open(folder / f"{start // A_TAR:05d}.tar", "w") as tar:
            for number in range(start, min(start + A_TAR, count)):
                buffer = io.BytesIO()
                image = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
                Image.fromarray(image).save(buffer, "PNG", compress_level=1)
                member = tarfile.TarInfo(f"{number:08d}.png")
                member.size = buffer.tell()
                buffer.seek(0)
                tar.addfile(member, buffer)


def wrong_rows(table: Path, plain: Path, count: int) -> list[str]:
    """What is wrong with a table: each picture must be there once, in the order of the tars, as `soda embed` made it."""
    wanted = (f"{number // A_TAR:05d}.tar/{number:08d}.png" for number in range(count))
    rows, moved, furthest = 0, 0, 0.0
    for (names, z), (_, reference) in zip(read_blocks(table), read_blocks(plain), strict=True):
        moved += sum(name != next(wanted, None) for name in names)
        rows += len(names)
        furthest = max(furthest, float(np.abs(z - reference).max()))
    found = [] if rows == count else [f"{rows:,} rows of {count:,}"]
    found += [f"{moved:,} rows out of place"] if moved else []
    return found + ([f"numbers {furthest:.1e} from those of soda embed"] if furthest > 1e-5 else [])


@contextmanager
def a_death(work: Path, parts: int, deaths: list[float]) -> Iterator[None]:
    """Kill one worker of Dask or Ray below this process once so many parts are there; deaths: when, in seconds from now on."""
    begun, over = time.monotonic(), threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            if len(list(work.glob("*.npz"))) < parts:
                continue
            for process in psutil.Process().children(recursive=True):
                line = " ".join(process.cmdline())
                if "spawn_main" in line or line.startswith("ray::"):
                    os.kill(process.pid, signal.SIGKILL)
                    deaths.append(time.monotonic() - begun)
                    return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def measure(folder: Path, given: argparse.Namespace) -> int:
    """Print a line a run. Returns the exit status."""
    from flows.embed import embed
    from flows.server import project_server

    encoder, pictures, plain, count = folder / "encoder.onnx", folder / "pictures", folder / "plain.parquet", given.count
    write_encoder(encoder)
    begun = time.monotonic()
    draw(pictures, count)
    print(f"{count:,} pictures of {SIDE} px in {-(-count // A_TAR)} tars: drawn in {time.monotonic() - begun:.0f} s", flush=True)
    begun = time.monotonic()
    embed_folder(Encoder(encoder, threads=1), pictures, plain, workers=1)
    seconds = time.monotonic() - begun
    print(f"soda embed, one process, one thread that decodes: {seconds:.1f} s, {count / seconds:,.0f} images/s", flush=True)
    failed = wrong_rows(plain, plain, count)
    with project_server():
        for workers, killed in [*((each, False) for each in given.workers), (max(given.workers), True)]:
            table, deaths = folder / f"{workers}{killed}.parquet", list[float]()
            half = count // PART // 2 if killed else sys.maxsize
            begun = time.monotonic()
            with a_death(folder / f".{table.name}.parts", max(1, half), deaths):
                asked = {"engine": given.engine, "workers": workers, "return_state": True}
                state = embed(str(pictures), str(table), str(encoder), **asked)
            seconds = time.monotonic() - begun
            wrong = wrong_rows(table, plain, count) if state.is_completed() else [str(state.message)]
            wrong += ["it was done before a worker could be killed"] if killed and not deaths else []
            how = f", one killed after {deaths[0]:.1f} s" if deaths else ""
            verdict = "; ".join(wrong) or "every row once, in order"
            print(
                f"{given.engine}, {workers} workers{how}: {seconds:.1f} s, {count / seconds:,.0f} images/s; {verdict}", flush=True
            )
            begun = time.monotonic()
            state = embed(str(pictures), str(table), str(encoder), **asked)
            print(f"  again: {time.monotonic() - begun:.1f} s; {state.message}".replace(f"{folder}/", ""), flush=True)
            failed += wrong
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--count", type=int, default=200_000, help="pictures (200,000)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="of each run (1 2)")
    parser.add_argument("--engine", choices=("dask", "ray"), default="dask")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="soda-engines-") as folder,
        temporary_settings(updates={PREFECT_HOME: Path(folder) / "prefect"}),
    ):
        return measure(Path(folder), given)


if __name__ == "__main__":
    sys.exit(main())
