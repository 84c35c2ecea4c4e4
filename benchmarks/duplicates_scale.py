"""Near vectors among many: time, memory and how many of the planted pairs are found. `python -m benchmarks.duplicates_scale`.

Rows are drawn as unevenly spread as those of a model, in a process of its own, into a Parquet file as `soda embed` writes it. A
hundredth of them (10,000 at most) gets a twin at a cosine drawn evenly from the threshold to 1; the difference is spread as the
rows are, which is what makes pairs hard to find: along the axes that tell cells apart.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from soda.vectors.grouped import group_table
from soda.vectors.origin import Origin
from soda.vectors.store import Writer

WIDTH, THRESHOLD, BLOCK = 128, 0.98, 8192


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.duplicates_scale", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="rows (100,000)")
    parser.add_argument("--folder", type=Path, help="where the table and what waits lie: about 2.2 kB a row")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(_measured(args.measure)))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        table = Path(folder) / "many.parquet"
        planted = draw(table, args.count)
        command = [sys.executable, "-m", "benchmarks.duplicates_scale", "--measure", str(table)]
        done = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    found, many = share_found(done["groups"], planted), f"{len(done['groups']):,} groups"
    took = f"{done['seconds']:.0f} s ({done['processor']:.0f} s of one core), {done['megabytes']:.0f} MB at most"
    print(f"{args.count:,} rows of {WIDTH}: {took}, {100 * found:.2f} % of {len(planted):,} planted pairs found, {many}")


def draw(path: Path, count: int, seed: int = 0) -> np.ndarray:
    """Write the table; returns the planted pairs, (p, 2) rows."""
    rng = np.random.default_rng(seed)
    spread = np.geomspace(1, 0.05, WIDTH).astype(np.float32)
    pairs = int(np.clip(count // 100, 100, 10_000))
    rows = rng.permutation(count)[: 2 * pairs].reshape(pairs, 2)
    rows.sort(axis=1)
    twins = _unit(rng.normal(size=(pairs, WIDTH)).astype(np.float32) * spread)
    twins = np.stack([twins, _turned(twins, rng.uniform(THRESHOLD + 5e-4, 1, pairs), spread, rng)], axis=1)  # (p, 2, D)
    order = np.argsort(rows.reshape(-1))
    places, values = rows.reshape(-1)[order], twins.reshape(-1, WIDTH)[order]
    origin = Origin(str(path.parent), "drawn", WIDTH, "stats+l2", [0.0] * WIDTH, [1.0] * WIDTH)
    with Writer(path, ".parquet", origin) as writer:
        for start in range(0, count, BLOCK):
            z = _unit(rng.standard_normal(size=(min(BLOCK, count - start), WIDTH), dtype=np.float32) * spread)
            here = slice(*np.searchsorted(places, (start, start + len(z))))
            z[places[here] - start] = values[here]
            writer.append([f"{start + i:08d}.jpg" for i in range(len(z))], z)
    return rows


def share_found(groups: list[list[int]], planted: np.ndarray) -> float:
    """Of the planted pairs, those whose rows are in one group."""
    group = {row: number for number, rows in enumerate(groups) for row in rows}
    return float(np.mean([a in group and group[a] == group.get(b) for a, b in planted.tolist()]))


def _measured(table: Path) -> dict[str, object]:
    started = time.perf_counter()
    groups = group_table(table, THRESHOLD).groups
    seconds = time.perf_counter() - started
    cores = time.process_time()
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return {"groups": groups, "seconds": seconds, "processor": cores, "megabytes": int(peak.split()[1]) / 1024}


def _turned(z: np.ndarray, cosines: np.ndarray, spread: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows of length 1 at these cosines (n,) from z (n, D), off in a direction that is spread as the rows are."""
    away = rng.normal(size=z.shape).astype(np.float32) * spread
    away = _unit(away - (away * z).sum(1, keepdims=True) * z)
    side = np.sqrt(1 - cosines**2)
    return (cosines[:, None] * z + side[:, None] * away).astype(np.float32)


def _unit(z: np.ndarray) -> np.ndarray:
    return z / np.linalg.norm(z, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
