"""The report: metrics merged without loss; a page whole in itself, honest about the gate, and safe with any file name."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper
from PIL import Image

from soda.config import Config, compose, from_dict
from soda.report.parts import merge_parts
from soda.report.stage import ReportError, report
from soda.report.training_curves import read_curve
from soda.runtime.metadata import FORMAT, to_props

ROOT = Path(__file__).parents[2]
EVIL = "<script>alert('x')</script>&\"'"
D = 6  # of the sample encoder; unlike conf/'s, so that the page must read it from the file
CHECK: dict[str, Any] = {
    "name": "expect_known_labels",
    "column": "label",
    "about": "Every label is known.",
    "success": True,
    "observed": 0,
}
CHECK |= {"failing_rows": [], "failing_count": 0}


@dataclass(frozen=True)
class Inputs:
    root: Path

    def path(self, name: str) -> Path:
        return self.root / name

    def json(self, name: str, value: Any) -> None:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(json.dumps(value))

    def run(self, config: Config) -> str:
        p = self.path
        parts = [p("train.json"), p("evaluate.json"), p("export.json")]
        report(
            config,
            p("prepared"),
            p("validation.json"),
            p("live"),
            parts,
            p("figures"),
            p("e.onnx"),
            p("index.html"),
            p("metrics.json"),
        )
        return p("index.html").read_text(encoding="utf-8")

    def manifest(self, rows: list[tuple[str, str]], rejected: list[tuple[str, str]] = ()) -> None:  # type: ignore[assignment]
        folder = self.path("prepared")
        folder.mkdir(exist_ok=True)
        table = pa.table({"split": [split for split, _ in rows], "label": [label for _, label in rows]})
        pq.write_table(table, folder / "manifest.parquet")
        summary = {"dataset": "folder", "image_size": 8, "channels": 3, "manifest_sha256": "v1", "licence": "CC0", "source": EVIL}
        self.json("prepared/summary.json", summary)
        with (folder / "rejected.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("file", "reason"), *rejected])

    def verdict(self, **values: Any) -> None:
        base = {"success": True, "allowed": False, "data_version": "v1", "rows": 7, "checks": [CHECK], "failures": []}
        self.json("validation.json", {**base, **values})

    def curve(self, name: str, values: list[float]) -> None:
        path = self.path(f"live/plots/metrics/{name}.tsv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"step\t{path.stem}\n" + "".join(f"{64 * i}\t{v}\n" for i, v in enumerate(values)))

    def image(self, name: str, width: int = 20, height: int = 10) -> bytes:
        buffer = io.BytesIO()
        Image.new("L", (width, height)).save(buffer, "PNG")
        self.path("figures").mkdir(exist_ok=True)
        self.path(f"figures/{name}.png").write_bytes(buffer.getvalue())
        return buffer.getvalue()


@pytest.fixture(scope="session")
def model() -> bytes:
    nodes = [
        helper.make_node("Cast", ["images"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["m", "w"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", "height", "width", 3])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", D])],
        [helper.make_tensor("w", TensorProto.FLOAT, [3, D], np.ones(3 * D))],
    )
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    sizes = {"format": FORMAT, "latent_dim": D, "image_size": 8, "channels": 3, "resize": "crop", "sections": 2}
    texts = {"dataset": EVIL, "data_version": "v1", "code_version": "0.1.0+abc"}
    helper.set_model_props(whole, to_props({**sizes, **texts, "z_mean": [0.0] * D, "z_std": [1.0] * D, "labels": [EVIL]}))
    return whole.SerializeToString()


@pytest.fixture(scope="session")
def config() -> Config:
    return from_dict(compose(conf_dir=ROOT / "conf"))


@pytest.fixture
def inputs(tmp_path: Path, model: bytes) -> Inputs:
    """A whole run, with markup in every text that a person's files can bring."""
    made = Inputs(tmp_path)
    made.manifest([("train", EVIL)] * 4 + [("train", "b")] * 1 + [("test", "b")] * 2, [(f"{EVIL}.jpg", f"unreadable {EVIL}")])
    made.verdict()
    made.json("train.json", {"train": {"images": 640, "seconds": 61.2, "images_per_second": 10.4, "final_loss": 0.5}})
    probe = {"linear_top1": 0.871, "pixels_linear_top1": 0.844, "random_linear_top1": 0.776, "supervised_top1": 0.905}
    measures = {"psnr": 18.93, "psnr_mean_picture": 11.6, "psnr_shuffled_z": 8.62, "ssim": 0.69}
    notes = {"notes": [f"A note with {EVIL}."]}
    self_use = {"usage_gap": 1.41}
    made.json("evaluate.json", {"probe": {**probe, **notes}, "reconstruction": measures, "latent": self_use, **notes})
    made.json("export.json", {"export": {"max_abs_diff": 3.1e-6, "bytes": len(model)}})
    made.curve("train/loss", list(np.linspace(1, 0.2, 40)))
    made.curve(f"usage{EVIL.replace('/', '')}", [0.0, 0.5])
    made.image("reconstructions", 60, 20)
    made.image(EVIL.replace("/", ""))
    made.path("e.onnx").write_bytes(model)
    return made


class Page(HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


# The metrics


def test_merge_nests_parts_and_keeps_notes_apart(inputs: Inputs, config: Config) -> None:
    inputs.run(config)
    merged = json.loads(inputs.path("metrics.json").read_text())
    assert (
        merged["probe"]["linear_top1"] == 0.871
        and merged["train"]["images"] == 640
        and merged["export"]["max_abs_diff"] == 3.1e-6
    )
    assert "notes" not in json.dumps(merged)


def test_one_group_may_come_from_two_parts(inputs: Inputs) -> None:
    inputs.json("a.json", {"latent": {"loss": 1, "usage_gap": 0.5}})
    inputs.json("b.json", {"latent": {"effective_dim": 2, "usage_gap": 0.5}})
    merged = merge_parts([inputs.path("a.json"), inputs.path("b.json")]).metrics
    assert merged == {"latent": {"loss": 1, "usage_gap": 0.5, "effective_dim": 2}}


@pytest.mark.parametrize(
    ("first", "second", "key"),
    [
        ({"latent": {"loss": 1}}, {"latent": {"loss": 2}}, "latent.loss"),
        (
            {"mix": {"reader_accuracy": {"hair": 1}}},
            {"mix": {"reader_accuracy": {"hair": {"dark": 1}}}},
            "mix.reader_accuracy.hair",
        ),
        (
            {"mix": {"reader_accuracy": {"hair": {"dark": 1}}}},
            {"mix": {"reader_accuracy": {"hair": 1}}},
            "mix.reader_accuracy.hair",
        ),
        ({}, {"latent": {"loss": [1, 2]}}, "latent.loss"),
        ({}, {"latent": {"notes": [1]}}, "latent.notes"),
        ({}, {"latent": {"los": 1}}, "latent.los"),
        ({}, {"laten": {"loss": 1}}, "laten.loss"),
    ],
)
def test_conflicts_name_the_key_and_leave_earlier_results(
    inputs: Inputs, config: Config, first: dict[str, Any], second: dict[str, Any], key: str
) -> None:
    inputs.path("metrics.json").write_text("earlier")
    inputs.path("index.html").write_text("earlier")
    inputs.json("evaluate.json", first)
    inputs.json("export.json", second)
    with pytest.raises(ReportError, match=rf"export\.json: {re.escape(key)}[ :]"):
        inputs.run(config)
    assert inputs.path("metrics.json").read_text() == inputs.path("index.html").read_text() == "earlier"


def test_what_is_not_a_number_is_left_out_and_said(inputs: Inputs, config: Config) -> None:
    inputs.json("evaluate.json", {"reconstruction": {"psnr": float("inf"), "ssim": None}})
    text = Page(inputs.run(config)).text
    assert json.loads(inputs.path("metrics.json").read_text())["reconstruction"] == {}
    assert "reconstruction.psnr is not a finite number (inf)" in text and "reconstruction.ssim was not measured" in text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.json", b"{"),
        ("train.json", b"[1]"),
        ("validation.json", b"{}"),
        ("prepared/manifest.parquet", b"no parquet"),
        ("prepared/rejected.csv", b"a,b\n1,2\n"),
        ("figures/reconstructions.png", b"GIF89a"),
        ("live/plots/metrics/train/loss.tsv", b"step\tloss\n1\tx\n"),
        ("e.onnx", b"no model"),
    ],
)
def test_broken_input_is_one_error_that_names_the_file(inputs: Inputs, config: Config, name: str, content: bytes) -> None:
    inputs.path(name).write_bytes(content)
    with pytest.raises(ReportError, match=re.escape(inputs.path(name).as_posix())):
        inputs.run(config)
    assert not inputs.path("index.html").exists() and not list(inputs.root.glob(".*new*"))


# The page


def test_page_asks_nothing_of_the_network(inputs: Inputs, config: Config) -> None:
    html = inputs.run(config)
    page = Page(html)
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), f"<{tag} {name}={value!r}>"
    assert not re.search(r"url\(|@import|https?:", html)
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and "default-src 'none'" in policy and "unsafe-inline'; script" in policy
    assert not {"link", "iframe", "object", "embed"} & {tag for tag, a in page.elements if a.get("href") != "data:,"}


def test_links_lead_somewhere(inputs: Inputs, config: Config) -> None:
    page = Page(inputs.run(config))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"] for a in page.all("a")} <= {f"#{name}" for name in ids}


def test_markup_in_names_stays_text(inputs: Inputs, config: Config) -> None:
    rows = [{"id": EVIL, "file": EVIL, "value": EVIL}]
    failing = {**CHECK, "success": False, "about": EVIL, "observed": [EVIL], "failing_rows": rows, "failing_count": 1}
    inputs.verdict(success=False, allowed=True, checks=[failing], failures=[EVIL])
    page = Page(inputs.run(config))
    assert len(page.all("script")) == 1, "only the page's own"
    assert "alert(" not in (page.all("img")[0]["alt"] or "")
    assert page.text.count("alert('x')") >= 12  # label, source, rejected file and reason, four of the row, check, metadata, notes
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_same_inputs_same_bytes(inputs: Inputs, config: Config) -> None:
    assert inputs.run(config) == inputs.run(config)


def test_images_come_first_the_declared_before_others(inputs: Inputs, config: Config) -> None:
    content = inputs.image("latent_map", 30, 30)
    inputs.image("confusion")
    inputs.image("aaa_other")
    html = inputs.run(config)
    alts = [image["alt"] or "" for image in Page(html).all("img")]
    titles = ["Originals over", "A map", "Aaa other"]
    assert [next(i for i, alt in enumerate(alts) if alt.startswith(title)) for title in titles] == [0, 1, 3]
    assert all(alts) and f"{D} numbers" in alts[0]
    assert html.index('id="images"') < html.index('id="figures"') < html.index("What the linear probe confuses")

    assert base64.b64encode(content).decode() in html


def test_a_failed_gate_is_the_first_thing_on_the_page(inputs: Inputs, config: Config) -> None:
    rows = [{"id": f"id-{i}", "file": f"cats/{i}.jpg", "value": "cta"} for i in range(20)]
    failing = {**CHECK, "success": False, "observed": 31, "failing_rows": rows, "failing_count": 31}
    inputs.verdict(success=False, allowed=True, checks=[failing, CHECK], failures=["31 rows carry an unknown label."])
    html = inputs.run(config)
    assert html.index('class="banner" role="alert"') < html.index("<header")
    banner = Page(html[html.index('class="banner"') : html.index("<header")]).text
    for wanted in (
        "allow_failure",
        "31 rows carry an unknown label.",
        "Every label is known.",
        "id-19",
        "cats/19.jpg",
        "20 of 31",
    ):
        assert wanted in banner
    assert "verdict passed" not in html and "The data failed 1 of 2 checks" in html


def test_a_passed_gate_has_no_banner(inputs: Inputs, config: Config) -> None:
    html = inputs.run(config)
    assert 'role="alert"' not in html and "verdict passed" in html


def test_a_verdict_of_other_data_is_not_shown_as_passed(inputs: Inputs, config: Config) -> None:
    inputs.verdict(data_version="v0")
    html = inputs.run(config)
    assert "The verdict is of other data" in html and "The data passed all" not in html


def test_figures_stand_beside_their_baselines(inputs: Inputs, config: Config) -> None:
    html = inputs.run(config)
    rows = dict(re.findall(r'<tr[^>]*><th scope="row">([^<]+?)(?: <span>.*?)?</th>(.*?)</tr>', html))
    shown = {name: re.findall(r'<td class="figure">([^<]+)', cells) for name, cells in rows.items()}
    accuracies = {"SODA latent": "87.1%", "Raw pixels": "84.4%", "Untrained encoder, z": "77.6%", "Supervised network": "90.5%"}
    assert {name: shown[name] for name in accuracies} == {name: [text] for name, text in accuracies.items()}
    assert 'style="width:87.10%"' in rows["SODA latent"]
    assert shown["Reconstructions from z alone"] == ["18.93", "0.690"]
    assert shown["The mean picture"] == ["11.60", "–"], "a baseline that was not measured"
    text = Page(html).text
    assert "87.1%" in text[: text.index("Figures beside")] and "untrained encoder 77.6%" in text[: text.index("Figures beside")]


def test_counts_by_label_and_split(inputs: Inputs, config: Config) -> None:
    html = inputs.run(config)
    rows = dict(re.findall(r'<tr><th scope="row">([^<]*)</th>((?:<td class="figure">[\d,]+</td>)+)</tr>', html))
    numbers = {name: re.findall(r">([\d,]+)<", cells) for name, cells in rows.items()}
    assert numbers["b"] == ["1", "2", "3"] and numbers["All"] == ["5", "2", "7"]
    assert "CC0" in html


def test_rejected_files_are_counted_whole_and_listed_in_part(inputs: Inputs, config: Config) -> None:
    inputs.manifest([("train", "a")], [(f"bad{i}.jpg", "truncated") for i in range(1203)] + [("c.jpg", "duplicate of a")])
    text = Page(inputs.run(config)).text
    assert "1,204 in all: 1,203 could not be read or were refused, 1 repeated" in text
    assert "bad49.jpg" in text and "bad50.jpg" not in text


def test_the_snippet_runs_with_the_true_latent_size(inputs: Inputs, config: Config) -> None:
    html = inputs.run(config)
    page = Page(html)
    snippet = page.text[page.text.index("from soda.runtime import") :].split("\n\n\n")[0]
    code = snippet[: snippet.index(f"assert z.shape == (2, {D})")] + f"assert z.shape == (2, {D})"
    for name in ("a.jpg", "b.png"):
        Image.new("RGB", (9, 12)).save(inputs.path(name))
        code = code.replace(f'"{name}"', repr(str(inputs.path(name))))
    exec(code, {})
    assert f"each image as {D} numbers" in page.text


def test_without_labels_there_is_no_probe_and_the_page_says_so(inputs: Inputs, config: Config) -> None:
    inputs.manifest([("train", "")] * 5 + [("test", "")])
    inputs.json("evaluate.json", {"reconstruction": {"psnr": 12.0}})
    page = Page(inputs.run(config))
    assert re.search("Not measured here: [^.]*Probes", page.text) and "The images have no labels" in page.text
    assert "Top-1" not in page.text


def test_a_half_labelled_set_shows_both(inputs: Inputs, config: Config) -> None:
    inputs.manifest([("train", "")] * 5 + [("train", "cat")])
    assert "(no label)" in Page(inputs.run(config)).text


def test_everything_missing_still_makes_a_page(tmp_path: Path, config: Config) -> None:
    text = Page(Inputs(tmp_path).run(config)).text
    assert json.loads((tmp_path / "metrics.json").read_text()) == {}
    for sentence in (
        "There are no images",
        "Not measured here: Probes",
        "There are no curves",
        "The prepared data is not here",
        "There is no verdict",
        "There is no encoder yet",
        "The metrics of evaluate.json are missing",
    ):
        assert sentence in text


def test_settings_and_versions_are_there(inputs: Inputs, config: Config) -> None:
    seeded = replace(config, train=replace(config.train, seed=4711))
    text = Page(inputs.run(seeded)).text
    assert "training 4711" in text and "encoder_lr_factor" in text and "0.1.0+abc" in text and "v1" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "An encoder learned, without a single label, to keep"),
        (
            {"init": "zoo/icons"},
            "An encoder that began with the weights of zoo/icons learned, without a single label of these images,",
        ),
        ({"init": "zoo/icons", "encoder_lr_factor": 0.0}, "The encoder itself learned nothing from these images."),
    ],
)
def test_the_page_says_first_who_learned_what(inputs: Inputs, config: Config, changes: dict[str, Any], said: str) -> None:
    assert said in Page(inputs.run(replace(config, train=replace(config.train, **changes)))).text


# The curves


def test_a_resumed_curve_counts_the_last_line_of_a_step_and_skips_what_is_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "loss.tsv"
    path.write_text("timestamp\tstep\tloss\n1\t0\t9\n2\t64\t8\n3\t128\tnan\n4\t64\t7\n5\t192\t6\n")
    assert read_curve(path) == [(0.0, 9.0), (64.0, 7.0), (192.0, 6.0)]
