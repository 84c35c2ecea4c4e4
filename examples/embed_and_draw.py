"""Pictures to vectors and back with NumPy, Pillow and onnxruntime: no torch.

    python examples/embed_and_draw.py zoo/fashion_mnist FOLDER_OF_PICTURES drawn.png

Writes a sheet of five rows: what the model sees of the pictures, what it draws from their vectors alone, a walk from the first
picture to the second, the first moved along the strongest direction from -3 to +3 standard deviations, and its nearest ones.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from soda.runtime import Decoder, Encoder, duplicates, nearest, novelty, pictures_in
from soda.runtime.preprocess import load_picture, to_square

COLUMNS = 7


def row(pictures: np.ndarray) -> np.ndarray:
    """(n, S, S, C) uint8, n up to COLUMNS -> one row (S, COLUMNS * S, 3), white where there is none."""
    side = pictures.shape[1]
    cells = np.full((COLUMNS, side, side, 3), 255, np.uint8)
    cells[: len(pictures)] = pictures
    return np.concatenate(list(cells), axis=1)


def main(model: Path, folder: Path, output: Path) -> None:
    encoder, decoder = Encoder(model / "encoder.onnx"), Decoder(model / "denoiser.onnx")

    # A broken picture is reported and left out; `embedded.skipped` says which and why.
    embedded = encoder.embed_all(folder)
    z, names = embedded.z, embedded.names
    print(f"{len(names)} of {len(list(pictures_in(folder)))} pictures, {z.shape[1]} numbers each")

    # Neighbours are best looked for among standardised vectors of length 1.
    unit = encoder.normalized(z, "stats+l2")
    print(f"{len(duplicates(unit, threshold=0.98))} groups of duplicates")
    print(f"the strangest: {names[int(novelty(unit).argmax())]}")
    indices, _ = nearest(unit[:1], unit, COLUMNS)

    def seen(rows: np.ndarray | list[int]) -> np.ndarray:
        channels, side, _ = decoder.picture_shape
        files = [folder / names[i] for i in rows]
        resize = encoder.metadata["resize"]
        return np.stack([to_square(load_picture(file), side, channels=channels, resize=resize) for file in files])

    first = list(range(min(COLUMNS, len(names))))
    noise = np.repeat(decoder.noise(1, seed=0), COLUMNS, axis=0)  # one noise for a whole row: only z changes
    shares = np.linspace(0, 1, COLUMNS, dtype=np.float32)[:, None]
    walk = (1 - shares) * z[0] + shares * z[1]
    rows = [seen(first), decoder.sample(z[first]), decoder.sample(walk, x_T=noise)]
    if decoder.directions:
        moved = np.stack([decoder.edit(z[0], {0: sigmas}) for sigmas in np.linspace(-3, 3, COLUMNS)])
        rows.append(decoder.sample(moved, x_T=noise))
    rows.append(seen(indices[0]))
    Image.fromarray(np.concatenate([row(pictures) for pictures in rows])).save(output)
    print(output)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
