"""The results of `benchmarks.gpu` as tables in Markdown."""

from __future__ import annotations

from typing import Any

Results = dict[str, Any]


def markdown(results: Results) -> str:
    """All parts that there are, a table each."""
    lines = ["# One GPU", ""]
    machine = results.get("machine", {})
    lines += [", ".join(f"{key} {_short(value)}" for key, value in machine.items()), ""]
    lines += [
        f"- {name}: failed, {part['error']}" for name, part in results.items() if isinstance(part, dict) and "error" in part
    ]
    lines += ["- seconds: " + ", ".join(f"{name} {value:.0f}" for name, value in results.get("seconds", {}).items()), ""]
    for name, write in {
        "parity": _parity,
        "resume": _flat,
        "roofline": _roofline,
        "throughput": _throughput,
        "profile": _profile,
        "fashion": _fashion,
        "export": _flat,
        "views": _views,
        "claims": _claims,
    }.items():
        if name in results:
            lines += [f"## {name}", "", *write(results[name]), ""]
    return "\n".join(lines)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(head: list[str], rows: list[list[Any]]) -> list[str]:
    made = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return made + ["| " + " | ".join(_short(cell) for cell in row) + " |" for row in rows]


def _flat(part: Results) -> list[str]:
    return _table(["what", "figure"], [[key, value] for key, value in part.items() if not isinstance(value, (dict, list))])


def _parity(part: Results) -> list[str]:
    rows = []
    for name, kinds in part.items():
        for kind, found in kinds.items() if name not in ("tolerances", "error") else ():
            if isinstance(found, dict):
                rows.append([name, kind, *(found[key] for key in ("z", "loss", "gradient", "samples", "within"))])
    return _table(["model", "precision", "z", "loss", "gradient", "samples", "within tolerance"], rows)


def _roofline(part: Results) -> list[str]:
    rows = [[key, f"{value:.1f} TFLOP/s"] for key, value in part.get("tflops", {}).items()]
    return _table(["what", "rate"], [*rows, ["copy", f"{part.get('copy_tb_s', 0):.2f} TB/s"]])


def _throughput(part: Results) -> list[str]:
    rows = []
    for preset, found in part.items():
        for name, each in found.items() if isinstance(found, dict) else ():
            if isinstance(each, dict):
                keys = ("images_per_second", "ms", "host_ms", "tflops", "of_convolution", "peak_gib", "ready_s")
                rows.append([preset, name, *(each.get(key, "") for key in keys)])
            elif isinstance(each, str):
                rows.append([preset, name, each, *[""] * 6])
    return _table(["preset", "step", "images/s", "ms", "host ms", "TFLOP/s", "of convolution", "GiB", "ready after s"], rows)


def _profile(part: Results) -> list[str]:
    rows, lines = [], []
    for name, each in part.items():
        if isinstance(each, dict) and "kernels" in each:
            waits = each.get("waits", {})
            rows.append([name, each["device_ms"], each["kernels"], waits.get("a step", "")])
            lines += ["", f"{name}, kinds of kernels:", ""]
            lines += _table(["kind", "ms", "times"], [[key, v["ms"], v["times"]] for key, v in each["kinds"].items()])
            if waits:
                lines += ["", f"{name}, waits: " + ", ".join(f"{key} {value:.3g}" for key, value in waits.items())]
    ema = [f"{key} {value:.3g}" for key, value in part.get("ema", {}).items()] if isinstance(part.get("ema"), dict) else []
    return [*_table(["step", "device ms", "kernels and copies", "waits"], rows), *lines, "", "EMA, ms: " + ", ".join(ema)]


def _fashion(part: Results) -> list[str]:
    rows = [
        [key, *(each.get(k, "") for k in ("dim", "val", "test", "knn_val", "knn_test"))]
        for key, each in part.get("probes", {}).items()
    ]
    lines = _table(["features", "numbers", "probe, validation", "probe, test", "kNN, validation", "kNN, test"], rows)
    training = {key: value for key, value in part.get("training", {}).items() if key != "curve"}
    return [*lines, "", *_flat({**training, **part})]


def _views(part: Results) -> list[str]:
    measures = part.get("measures", {})
    flat = (
        {key: value for key, value in measures.items() if isinstance(value, (int, float))} if isinstance(measures, dict) else {}
    )
    bases = {f"baseline {key}": value["psnr"] for key, value in measures.get("baselines", {}).items()} if flat else {}
    training = {key: value for key, value in part.get("training", {}).items() if key != "curve"}
    return _flat({**training, **part, **flat, **bases})


def _claims(part: Results) -> list[str]:
    rows = []
    for name, each in part.items():
        if isinstance(each, dict):
            training, probe = each["training"], each["probes"]["z"]
            rows.append([name, training["images"], training["seconds"], probe["val"], each["psnr_val"], each["usage_gap"]])
        else:
            rows.append([name, each, *[""] * 4])
    return _table(["variant", "images", "seconds", "probe, validation", "PSNR, validation", "use of z"], rows)
