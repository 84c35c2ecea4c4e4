"""docs/gallery.md: the images of shipped models beside their figures, and nothing of models that were not measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from soda.report.gallery_document import COLOURS, keep_images, write_gallery
from soda.report.parts import ReportError
from tests.support.objects import OBJECTS, VIEWS, of_objects
from tests.support.prepared_factory import make_prepared

METRICS = {
    "reconstruction": {"psnr": 21.34, "psnr_mean_picture": 11.2, "lpips_like@10": 0.2816},
    "mix": {"style_accuracy": 0.834, "content_retrieval": 0.21, "content_chance": 0.0031},
}


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    figures = tmp_path / "figures"
    figures.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    for name in ("mix", "reconstructions", "confusion"):
        Image.fromarray(noise).save(figures / f"{name}.png")
    for model in ("mine", "unmeasured"):
        (tmp_path / "zoo" / model).mkdir(parents=True)
    (tmp_path / "results").mkdir()
    (tmp_path / "results/mine.json").write_text(json.dumps(METRICS))
    return tmp_path


def write(docs: Path) -> list[str]:
    return write_gallery(docs / "gallery.md", docs / "zoo", docs / "results", docs / "images")


def test_images_are_kept_small_in_the_gallery_s_order_and_replace_earlier_ones(docs: Path) -> None:
    (docs / "images/mine").mkdir(parents=True)
    (docs / "images/mine/walks.png").write_bytes(b"of an earlier run")
    kept = keep_images("mine", docs / "figures", docs / "images")
    assert [path.name for path in kept] == ["reconstructions.png", "mix.png"]
    assert sorted((docs / "images/mine").iterdir()) == sorted(kept)
    with Image.open(kept[0]) as image:
        assert image.size == (60, 40) and len(image.convert("RGB").getcolors()) <= COLOURS


def test_the_page_shows_each_image_with_what_was_measured_of_it(docs: Path) -> None:
    for model in ("mine", "unmeasured"):
        keep_images(model, docs / "figures", docs / "images")
    assert write(docs) == ["mine"]
    page = (docs / "gallery.md").read_text()
    assert "PSNR from z alone 21.3 dB, of the mean picture 11.2 dB, LPIPS-like in 10 evaluations 0.282." in page
    assert "Mixes that show the style asked for 83%, that show the content 21%, content by chance 0.3%." in page
    assert re.findall(r"!\[.*\]\((.*)\)", page) == ["images/mine/reconstructions.png", "images/mine/mix.png"]
    assert "unmeasured" not in page and "{" not in page


def test_figures_that_are_no_json_leave_the_page_as_it_was(docs: Path) -> None:
    keep_images("mine", docs / "figures", docs / "images")
    write(docs)
    before = (docs / "gallery.md").read_text()
    (docs / "results/mine.json").write_text("{")
    with pytest.raises(ReportError, match=r"mine\.json"):
        write(docs)
    assert (docs / "gallery.md").read_text() == before


def test_the_sheet_of_the_objects_and_the_credits_join_the_page(docs: Path, tmp_path: Path) -> None:
    data = make_prepared(tmp_path / "prepared", n=OBJECTS * VIEWS, channels=3, edit=of_objects)
    keep_images("mine", docs / "figures", docs / "images", data)
    (docs / "zoo/mine/credits.csv").write_text("name,author,licence\n")
    write(docs)
    page = (docs / "gallery.md").read_text()
    assert "![The objects](images/mine/contact_sheet.png)\n\nObjects in a row each" in page
    assert "](../zoo/mine/credits.csv)" in page
    with Image.open(docs / "images/mine/contact_sheet.png") as sheet:
        assert sheet.width > 100
    keep_images("mine", docs / "figures", docs / "images")
    write(docs)
    assert "contact_sheet" not in (docs / "gallery.md").read_text()
