"""Every path of the project, once. They are relative: a project is the folder that a command is run in."""

from __future__ import annotations

from pathlib import Path

DATA, MODELS, REPORTS, RUNS = Path("data"), Path("models"), Path("reports"), Path("runs")

RELEASES = Path("releases")  # a folder a version, and current.json: which one is in use
DRIFT = Path("drift")  # samples of what was served, and what was found of them

RAW = DATA / "raw"
PREPARED = DATA / "prepared"
ACCEPTED = DATA / "accepted"  # how the versions were that passed the gate

MODEL = MODELS / "soda"
DIRECTIONS = MODELS / "directions.safetensors"
ENCODER, DENOISER, VARIANTS = MODELS / "encoder.onnx", MODELS / "denoiser.onnx", MODELS / "variants"

VERDICT = REPORTS / "validation.json"
DATA_DOCS = REPORTS / "data_docs"
LIVE = REPORTS / "live"
FIGURES = REPORTS / "figures"
METRICS = REPORTS / "metrics.json"
PARTS = {stage: REPORTS / f"{stage}.json" for stage in ("train", "evaluate", "export")}
HTML = REPORTS / "index.html"
BENCH = REPORTS / "bench.json"

CODE = Path(".code")  # fingerprints of the stages' code, a file a stage
ABLATION_RUNS = RUNS / "ablations"

ZOO, DOCS = Path("zoo"), Path("docs")
RESULTS = DOCS / "results"
GALLERY, GALLERY_IMAGES = DOCS / "gallery.md", DOCS / "images"
ABLATIONS = DOCS / "ablations.md"
