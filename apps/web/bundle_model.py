"""Put a trained model where the page looks for it: `python apps/web/bundle_model.py zoo/fashion_mnist`.

Copies encoder.onnx and, where there is one, denoiser.onnx, and writes model.json: what the files' metadata say, which
onnxruntime-web cannot read. Needs onnxruntime alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

PREFIX = "soda."
PUBLIC = Path(__file__).parent / "public" / "model"
SHARED = ("latent_dim", "image_size", "channels")
ENCODER = (*SHARED, "resize", "z_mean", "z_std", "dataset", "data_source", "data_licence")
DENOISER = (*SHARED, "sections", "alphas_cumprod", "timesteps")
DIRECTION = ("number", "name", "kind", "section", "vector")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")


def metadata(file: Path) -> dict[str, Any]:
    """What an ONNX file of this project says of itself."""
    import onnxruntime

    props = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).get_modelmeta().custom_metadata_map
    return {key.removeprefix(PREFIX): _value(text) for key, text in props.items() if key.startswith(PREFIX)}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text  # some of the values are plain text


def _chosen(values: dict[str, Any], keys: tuple[str, ...], file: Path) -> dict[str, Any]:
    missing = [key for key in keys if key not in values]
    if missing:
        raise SystemExit(f"{file}: its metadata has no {', '.join(PREFIX + key for key in missing)}")
    return {key: values[key] for key in keys}


def bundle(model: Path, target: Path, examples: Path | None = None) -> dict[str, Any]:
    """Write the folder `target`; returns what model.json holds."""
    encoder, denoiser = model / "encoder.onnx", model / "denoiser.onnx"
    if not encoder.is_file():
        raise SystemExit(f"{encoder}: there is no such file")
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(encoder, target)
    about: dict[str, Any] = {"format": 2, "name": model.resolve().name, "denoiser": None, "examples": []}
    about["encoder"] = {"file": encoder.name} | _chosen(metadata(encoder), ENCODER, encoder)
    if denoiser.is_file():
        values = metadata(denoiser)
        directions = [{key: each.get(key) for key in DIRECTION} for each in values.get("directions", [])]
        about["denoiser"] = {"file": denoiser.name, "directions": directions} | _chosen(values, DENOISER, denoiser)
        shutil.copy(denoiser, target)
    if examples is not None:
        (target / "examples").mkdir(exist_ok=True)
        for picture in sorted(path for path in examples.iterdir() if path.suffix.lower() in PICTURES):
            shutil.copy(picture, target / "examples")
            about["examples"].append(f"examples/{picture.name}")
    (target / "model.json").write_text(json.dumps(about), encoding="utf-8")
    return about


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder with encoder.onnx and denoiser.onnx, e.g. zoo/fashion_mnist")
    parser.add_argument("--examples", type=Path, help="a folder of pictures that the page offers to try")
    parser.add_argument(
        "--to", type=Path, default=PUBLIC, help="where to (public/model beside this file; dist/model of a built page)"
    )
    args = parser.parse_args()
    bundle(args.model, args.to, args.examples)


if __name__ == "__main__":
    main()
