"""Stands in for `python -m soda <stage>` in a scratch project: writes the outputs that dvc.yaml declares, in milliseconds.

A file soda/code-<stage> holds what stands for the fingerprint of that stage's code. A file misbehave/<stage> makes the stage fail
("fail"), fail once as if the network were away ("away"), work until it is stopped, and then save ("hang"), draw a progress bar
("progress"), or draw that of the training and write its curves ("train").
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import yaml
from PIL import Image

stage = sys.argv[1]
misbehave = Path("misbehave", stage)
mode = misbehave.read_text() if misbehave.exists() else ""
params = yaml.safe_load(Path("params.yaml").read_text())

stages = yaml.safe_load(Path("dvc.yaml").read_text())["stages"]
if stage == "code":
    Path(".code").mkdir(exist_ok=True)
    for name in stages:
        changed = Path("soda", f"code-{name}")
        Path(".code", name).write_text(changed.read_text() if changed.exists() else "as it was")
    path = Path(params["dataset"]["path"])
    found = [str(path.stat().st_size)] if path.is_file() else sorted(ascii(str(each)) for each in path.rglob("*"))
    Path(".code/pictures").write_text("\n".join(found))
    sys.exit()

with open("ran.log", "a") as log:
    log.write(f"{stage}\n")

if stage == "validate":
    check = {
        "name": "unique",
        "about": "no picture is in two splits",
        "column": "sha256",
        "success": mode != "fail",
        "observed": 1,
    }
    check["failing_rows"] = [{"id": "test-17", "file": "cats/a|b.jpg", "value": "train-3"}] if mode == "fail" else []
    verdict = {"success": mode != "fail", "allowed": False, "dataset": params["dataset"]["name"], "rows": 3, "checks": [check]}
    verdict |= {"data_version": "abc", "failures": ["1 picture is in two splits"] if mode == "fail" else []}
    Path("reports/data_docs").mkdir(parents=True, exist_ok=True)
    Path("reports/data_docs/thumbnails.json").write_text(json.dumps({"test-17": "data:image/jpeg;base64,QQ=="}))
    Path("reports/validation.json").write_text(json.dumps(verdict))

if mode == "fail":
    sys.exit(f"soda {stage}: picture test-17 is in train as well")
if mode == "away":
    misbehave.unlink()
    print(f"soda {stage}: no server answers", file=sys.stderr)
    sys.exit(75)
if mode == "hang":

    def leave(*_):
        time.sleep(0.3)  # what saving takes
        Path("saved").touch()
        print("saved the checkpoint")
        sys.exit(143)

    signal.signal(signal.SIGTERM, leave)
    Path("pid").write_text(str(os.getpid()))
    print("working", flush=True)
    time.sleep(60)
if mode == "progress":
    for step in range(1000):
        sys.stderr.write(f"\rstep {step}")
    print("\ndone", file=sys.stderr)

if mode == "train":
    curve = Path("reports/live/plots/metrics/loss.tsv")
    curve.parent.mkdir(parents=True, exist_ok=True)
    curve.write_text("step\tloss\n1000\t0.5\n2000\t0.25\n")
    sys.stderr.write("".join(f"\rtrain:  {n} % |##  | {n}00 of 10000, 250.00img/s, loss=0.25, 3 min left" for n in (41, 42, 43)))
    print("\ndone", file=sys.stderr)

probe = {"linear_top1": 0.87, "pixels_linear_top1": 0.8, "random_linear_top1": 0.7, "supervised_top1": 0.9}
contents = {
    "reports/train.json": {"train": {"images": params["train"]["images"]}},
    "reports/evaluate.json": {"probe": probe},
    "reports/export.json": {"export": {"bytes": 1234}},
    "reports/metrics.json": {"probe": probe, "export": {"bytes": 1234}},
}
for out in stages[stage]["outs"]:
    path = Path(next(iter(out)))
    path.parent.mkdir(parents=True, exist_ok=True)
    if str(path) in contents:
        path.write_text(json.dumps(contents[str(path)]))
    elif path.suffix in {".html", ".onnx", ".safetensors"}:
        path.write_text(stage)
    elif not path.suffix:
        path.mkdir(exist_ok=True)
        (path / "of.txt").write_text(stage)
    if path.name == "figures":
        Image.new("RGB", (1600, 40), "teal").save(path / "reconstructions.png")
