"""Put a trained model where the page looks for it: `python apps/web/bundle_model.py zoo/fashion_mnist`.

Copies encoder.onnx and, where there is one, denoiser.onnx, and writes model.json: what the files' metadata say, which
onnxruntime-web cannot read, and the times to sample at. An earlier bundle is replaced as a whole, or stays as it is when the
model cannot be used. Needs the base package alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from soda.common.errors import InputError, MissingFolderError, SodaError
from soda.common.files import whole_folder
from soda.runtime import Decoder, Encoder
from soda.runtime.metadata import PREFIX

PUBLIC = Path(__file__).parent / "public" / "model"
INDEX = "model.json"
SHARED = ("latent_dim", "image_size", "channels")
ENCODER = (*SHARED, "resize", "z_mean", "z_std", "dataset", "data_source", "data_licence")
DENOISER = (*SHARED, "sections", "alphas_cumprod")
DIRECTION = ("number", "name", "kind", "section", "vector")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")


def _chosen(values: dict[str, Any], keys: tuple[str, ...], file: Path) -> dict[str, Any]:
    missing = [key for key in keys if key not in values]
    if missing:
        raise InputError(f"{file}: its metadata has no {', '.join(PREFIX + key for key in missing)}")
    return {key: values[key] for key in keys}


def _searched(values: dict[str, Any]) -> dict[str, Any]:
    """What pictures can be compared by; older files give z alone."""
    features = {"mean": values["features_mean"], "std": values["features_std"]} if "features_dim" in values else None
    return {"features": features, "search_vectors": values.get("search_vectors", "z")}


def bundle(model: Path, target: Path, examples: Path | None = None) -> dict[str, Any]:
    """Write the folder `target`, in place of an earlier bundle there; returns what model.json holds.

    Raises SodaError for files that are no models of this project, a target that holds other things, a missing examples folder.
    """
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not (target / INDEX).is_file())):
        raise InputError(f"{target}: there is something else here (no {INDEX}); a bundle wants a folder of its own")
    if examples is not None and not examples.is_dir():
        raise MissingFolderError(f"{examples}: no such folder")
    encoder, denoiser = model / "encoder.onnx", model / "denoiser.onnx"
    files = [encoder]
    about: dict[str, Any] = {"format": 2, "name": model.resolve().name, "denoiser": None, "examples": []}
    said = Encoder(encoder).metadata
    about["encoder"] = {"file": encoder.name} | _chosen(said, ENCODER, encoder) | _searched(said)
    if denoiser.is_file():
        files.append(denoiser)
        decoder = Decoder(denoiser)
        about["denoiser"] = {"file": denoiser.name, "timesteps": decoder.timesteps()}
        about["denoiser"]["directions"] = [{key: each.get(key) for key in DIRECTION} for each in decoder.directions]
        about["denoiser"] |= _chosen(decoder.metadata, DENOISER, denoiser)
    with whole_folder(target) as new:
        for file in files:
            shutil.copy(file, new)
        if examples is not None:
            (new / "examples").mkdir()
            for picture in sorted(path for path in examples.iterdir() if path.suffix.lower() in PICTURES):
                shutil.copy(picture, new / "examples")
                about["examples"].append(f"examples/{picture.name}")
        (new / INDEX).write_text(json.dumps(about), encoding="utf-8")
    return about


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder with encoder.onnx and denoiser.onnx, e.g. zoo/fashion_mnist")
    parser.add_argument("--examples", type=Path, help="a folder of pictures that the page offers to try")
    parser.add_argument(
        "--to", type=Path, default=PUBLIC, help="where to (public/model beside this file; dist/model of a built page)"
    )
    args = parser.parse_args()
    try:
        bundle(args.model, args.to, args.examples)
    except SodaError as error:
        raise SystemExit(f"bundle_model: {error}") from None


if __name__ == "__main__":
    main()
