"""What the documents name exists: links, images, targets, commands, overrides, figures."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from safetensors import safe_open

from soda.cli import main
from soda.config import compose, from_dict, migrate, to_dict

ROOT = Path(__file__).parents[2]
TRAINING = ("dataset", "model", "diffusion", "views", "train")  # parts of a configuration that decide the weights
PAGES = sorted(
    path
    for path in (
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "data/README.md",
        *(ROOT / "zoo").rglob("*.md"),
        *(ROOT / "apps/web").glob("*.md"),
    )
    if "node_modules" not in path.parts
)
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PAGES}
CODE = {name: "\n".join(re.findall(r"```.*?```|`[^`]+`", text, re.S)) for name, text in TEXTS.items()}


def _links(text: str) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def _anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _overrides() -> set[str]:
    found = set()
    for code in CODE.values():
        found |= set(re.findall(r'OVERRIDES="([^"…]+)"', code))
        found |= set(re.findall(r"soda compose ([^`&#…]*[^`&#…\s])", code))
        found |= {" ".join(re.findall(r"-S (\S+)", each)) for each in re.findall(r"dvc exp run ([^`#…]+)", code)}
    return {" ".join(each.split()) for each in found}


def test_the_readme_can_be_read_at_one_sitting() -> None:
    assert TEXTS["README.md"].count("\n") <= 120


@pytest.mark.parametrize("name", TEXTS)
def test_every_link_leads_somewhere(name: str) -> None:
    for link in _links(TEXTS[name]):
        target, _, anchor = link.partition("#")
        path = (ROOT / name).parent / target if target else ROOT / name
        assert path.exists(), f"{name}: {link}"
        if anchor:
            assert anchor in _anchors(path.read_text(encoding="utf-8")), f"{name}: {link}"


def test_every_page_is_linked_from_another() -> None:
    linked = {((ROOT / name).parent / link.partition("#")[0]).resolve() for name, text in TEXTS.items() for link in _links(text)}
    linked |= {path / "README.md" for path in linked if path.is_dir()} | {
        page for page in PAGES if page.parent.parent.name == "zoo"
    }
    assert [name for name in TEXTS if name != "README.md" and (ROOT / name).resolve() not in linked] == []


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {(name, target) for name, code in CODE.items() for target in re.findall(r"(?:^|`)make ([a-z-]+)", code, re.M)}
    assert named and {each for each in named if each[1] not in targets} == set()


def test_every_command_that_is_named_exists(capsys: pytest.CaptureFixture[str]) -> None:
    for name, code in CODE.items():
        for command in set(re.findall(r"(?:^|`|bin/)soda ([a-z]+)", code, re.M)):
            with pytest.raises(SystemExit) as stopped:
                main([command, "--help"])
            assert stopped.value.code == 0, f"{name}: soda {command}"
    assert "usage: soda" in capsys.readouterr().out


@pytest.mark.parametrize("overrides", sorted(_overrides()))
def test_every_override_that_is_shown_composes(overrides: str) -> None:
    assert compose(shlex.split(overrides), ROOT / "conf")


@pytest.mark.parametrize(("model", "data"), [("cifar", "cifar10"), ("imagenet", "imagenet")])
def test_the_presets_are_what_the_page_on_fidelity_says(model: str, data: str) -> None:
    params = compose(["experiment=paper", f"dataset={data}", "dataset.path=/data", f"model={model}"])
    stated = 0
    for preset, key, value in re.findall(r"(cifar |imagenet )?`([a-z_]+(?:\.[a-z_0-9]+)+)=([^`]+)`", TEXTS["docs/fidelity.md"]):
        if preset.strip() in ("", model):
            found = params
            for part in key.split("."):
                found = found[part]
            assert found == yaml.safe_load(value), f"{key} is {found}, not {value}"
            stated += 1
    assert stated > 35


def test_results_state_the_figures_of_the_default_run() -> None:
    metrics, page = json.loads((ROOT / "reports/metrics.json").read_text()), TEXTS["docs/results.md"]
    row = next(line for line in page.splitlines() if line.startswith("| Fashion-MNIST, default, "))
    for key in ("linear_top1", "knn_top1", "pixels_linear_top1", "random_linear_top1", "supervised_top1"):
        assert f"{metrics['probe'][key]:.3f}".lstrip("0") in row, f"docs/results.md: probe.{key}"
    assert f"**{metrics['reconstruction']['psnr']:.1f} dB**" in page


def test_the_first_figures_of_the_readme_are_of_runs() -> None:
    default = json.loads((ROOT / "reports/metrics.json").read_text())
    furniture = json.loads((ROOT / "docs/results/furniture.json").read_text())
    bold = re.findall(r"\*\*([^*]+)\*\*", TEXTS["README.md"])[:3]
    assert bold == [
        f"{default['probe']['linear_top1']:.3f}".lstrip("0"),
        f"{furniture['novel_view']['psnr@1']:.1f} dB",
        f"{default['export']['onnx_ms_1']:.2f} ms".lstrip("0"),
    ]


@pytest.mark.parametrize("name", ["avatars", "emoji", "fashion_mnist", "furniture", "icons"])
def test_the_command_on_a_card_composes_what_the_model_was_trained_with(name: str) -> None:
    (command,) = re.findall(r'make pipeline OVERRIDES="([^"]+)"', TEXTS[f"zoo/{name}/README.md"])
    stated, kept = (
        to_dict(each)
        for each in (
            from_dict(compose(shlex.split(command), ROOT / "conf")),
            from_dict(migrate(yaml.safe_load((ROOT / f"zoo/{name}/config.yaml").read_text(encoding="utf-8")))),
        )
    )
    for each in (stated, kept):
        for how in ("threads", "processes", "batch_statistics"):  # of one process, which the shipped models had, all are alike
            del each["train"][how]
        del each["dataset"]["max_pixels"]  # none of their images comes near the old limit or the new one
        del each["diffusion"]["sampling_steps"]  # of drawing, and one less since the step between equal noises is gone
    assert {part: stated[part] for part in TRAINING} == {part: kept[part] for part in TRAINING}


@pytest.mark.parametrize("name", ["avatars", "emoji", "fashion_mnist", "furniture", "icons"])
def test_figures_of_a_shipped_model_are_of_its_weights(name: str) -> None:
    train, counted = json.loads((ROOT / f"docs/results/{name}.json").read_text())["train"], {"encoder": 0, "denoiser": 0}
    with safe_open(str(ROOT / f"zoo/{name}/model.safetensors"), "np") as weights:
        for key in weights.keys():  # noqa: SIM118 -- not a dictionary
            if not key.endswith(("running_mean", "running_var", "num_batches_tracked")):
                counted[key.partition(".")[0]] += weights.get_tensor(key).size
    assert counted == {part: train[f"{part}_parameters"] for part in counted}
    assert f"denoiser {counted['denoiser']:,}" in TEXTS[f"zoo/{name}/README.md"]


def test_the_image_of_the_architecture_is_of_these_imports() -> None:
    done = subprocess.run([sys.executable, "docs/architecture.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# Of the Citation File Format's schema, version 1.2.0: what it requires, and what of it is used.
CFF_REQUIRED = {"authors", "cff-version", "message", "title"}
CFF_KEYS = CFF_REQUIRED | {"abstract", "keywords", "license", "preferred-citation", "type", "version"}
REFERENCE_KEYS = {
    "type",
    "title",
    "authors",
    "collection-title",
    "conference",
    "year",
    "start",
    "end",
    "doi",
    "identifiers",
    "url",
}


def test_the_citation_has_the_fields_of_its_format() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation.keys() >= CFF_REQUIRED and citation.keys() <= CFF_KEYS
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    paper = citation["preferred-citation"]
    assert paper.keys() >= {"type", "title", "authors"} and paper.keys() <= REFERENCE_KEYS
    assert all({"family-names", "given-names"} == author.keys() for author in paper["authors"])
    assert (
        paper["authors"][0]["family-names"] == "Hudson" and {"type": "other", "value": "arXiv:2311.17901"} in paper["identifiers"]
    )
