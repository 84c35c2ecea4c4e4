"""The gate: each kind of bad data fails the check that is about it, and the rows are named."""

from __future__ import annotations

import base64
import io
import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from soda.config import ConfigError, GateConfig, compose, from_dict
from soda.data.gate import expectations
from soda.data.gate.thumbnails import MOST, thumbnails
from soda.data.gate.validate import validate
from soda.data.gate.verdict import GateError, require_verdict
from tests.support.prepared_factory import make_prepared, read_manifest, sha256_of, write_manifest

ROOT = Path(__file__).parents[3]


def gate_config(*overrides: str) -> GateConfig:
    settings = ["dataset=folder", "dataset.path=x", "gate.min_train=10", *overrides]
    return from_dict(compose(settings, ROOT / "conf")).gate


CONFIG = gate_config()


def judge(prepared: Path, config: GateConfig = CONFIG) -> tuple[dict[str, Any], str]:
    """The verdict, and the error's message ("" when the data passed)."""
    message = ""
    verdict, docs = prepared.parent / "validation.json", prepared.parent / "docs"
    try:
        validate(config, prepared, verdict, docs)
    except GateError as error:
        message = str(error)
    return json.loads(verdict.read_text()), message


def failing(verdict: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Failed checks by column; the rows of several on one column together."""
    found: dict[str, dict[str, Any]] = {}
    for check in verdict["checks"]:
        if not check["success"]:
            rows = found.get(check["column"], {}).get("failing_rows", [])
            found[check["column"]] = check | {"failing_rows": rows + check["failing_rows"]}
    return found


def test_good_data_passes_and_may_be_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*args: object) -> None:
        raise AssertionError(f"the gate went to the network: {args}")

    monkeypatch.chdir(tmp_path)
    prepared = make_prepared(Path("prepared"), channels=3)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(socket.socket, "connect", no_network)
    for run in ("first", "second"):
        metrics = validate(CONFIG, prepared, Path(run, "validation.json"), Path(run, "docs"))
    assert metrics["rows"] == 60
    assert metrics["failed"] == 0
    assert metrics["success"] is True
    verdict = require_verdict(prepared, Path("first/validation.json"), allow_failure=False)
    assert verdict["data_version"] == sha256_of(prepared / "manifest.parquet")
    assert len(verdict["checks"]) == metrics["checks"]

    def content(folder: str) -> dict[Path, bytes]:
        """All but the seal, whose key is drawn."""
        found = (path for path in Path(folder).rglob("*") if path.is_file() and ".gate" not in path.parts)
        return {path.relative_to(folder): path.read_bytes() for path in found}

    written, again = content("first"), content("second")
    assert written == again, "the same data gave other bytes"
    assert Path("docs/index.html") in written
    for path, content in written.items():
        assert b"http://" not in content, f"{path} needs the network"
        assert b"https://" not in content, f"{path} needs the network"
    left = {path.parts[len(tmp_path.parts)] for path in set(tmp_path.rglob("*")) - set(before)}
    assert left == {"first", "second"}, "something else was left behind"


BAD_ROWS = [
    # row, manifest column and its new value, then the column that fails and what the failing row shows
    (55, "label", "zebra", "label", "zebra"),  # in test, unknown to train
    (4, "label", "", "label", ""),  # half-labelled
    (9, "id", "p0003", "id", "p0003"),
    (10, "split", "holdout", "split", "holdout"),
    (11, "mode", None, "empty_fields", "mode"),
    (12, "width", 3, "width", 3),
    (13, "height", 7, "height", 7),
    (14, "mean", 1.5, "mean", 1.5),
    (15, "std", -0.5, "std", -0.5),
    (16, "row", 17, "shard, row", "shard 0, row 17"),
    (18, "shard", 9, "pixels_sha256", None),
    (19, "sha256", "0" * 64, "pixels_sha256, sha256", None),
    (20, "mean", 0.7, "mean_error", None),
]


def test_every_bad_row_is_named(tmp_path: Path) -> None:
    def edit(manifest: pd.DataFrame) -> pd.DataFrame:
        for row, column, value, _, _ in BAD_ROWS:
            manifest.loc[row, column] = value
        return manifest

    verdict, message = judge(make_prepared(tmp_path / "prepared", edit=edit))
    assert verdict["success"] is False
    found = failing(verdict)
    for row, column, value, failed, shown in BAD_ROWS:
        named = {one["file"]: one for one in found[failed]["failing_rows"]}[f"raw/{row:04d}.png"]
        assert named["id"] == ("p0003" if column == "id" else f"p{row:04d}")
        assert named["value"] == shown or shown is None, (row, column, value)
    assert set(found) == {failed for *_, failed, _ in BAD_ROWS} | {"manifest_rows, found_pictures", "std_error"}
    assert "raw/0055.png (id p0055): zebra" in message
    assert str(tmp_path / "validation.json") in message
    assert str(tmp_path / "docs" / "index.html") in message
    with pytest.raises(GateError, match="did not pass the gate"):
        require_verdict(tmp_path / "prepared", tmp_path / "validation.json", allow_failure=False)


def test_a_picture_in_train_and_test_names_both_files_and_the_remedy(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    pixels[59] = pixels[2]
    pixels[6] = pixels[4]  # a copy within one split and label is no fault
    verdict, message = judge(make_prepared(tmp_path / "prepared", pixels=pixels))
    assert list(failing(verdict)) == ["copy_elsewhere"]
    rows = failing(verdict)["copy_elsewhere"]["failing_rows"]
    assert [(row["file"], row["value"]) for row in rows] == [
        ("raw/0002.png", "raw/0059.png (test)"),
        ("raw/0059.png", "raw/0002.png (train)"),
    ]
    assert "dataset.duplicates=drop" in message


def test_constant_pictures_are_named_at_most_twenty_and_all_counted(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (200, 8, 8, 1), dtype=np.uint8)
    pixels[:30] = np.arange(30, dtype=np.uint8)[:, None, None, None]
    verdict, message = judge(make_prepared(tmp_path / "prepared", pixels=pixels))
    check = failing(verdict)["pixels_std"]
    assert check["failing_count"] == 30
    assert [row["file"] for row in check["failing_rows"]] == [f"raw/{i:04d}.png" for i in range(20)]
    assert "and 27 more" in message


def test_a_manifest_edited_by_hand_fails_and_earlier_results_are_replaced_whole(tmp_path: Path) -> None:
    prepared = make_prepared(tmp_path / "prepared")
    manifest = read_manifest(prepared)
    manifest.loc[3, "label"] = "zebra"
    write_manifest(prepared, manifest)
    verdict, message = judge(prepared)
    assert set(failing(verdict)) == {"found_sha256, prepared_sha256", "label"}
    assert failing(verdict)["label"]["failing_rows"] == [{"id": "p0003", "file": "raw/0003.png", "value": "zebra"}]
    assert "manifest.parquet" in message
    assert "zebra" in (tmp_path / "docs" / "index.html").read_text()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".") and path.name != ".gate"]


def test_a_truncated_shard_fails_with_its_name(tmp_path: Path) -> None:
    prepared = make_prepared(tmp_path / "prepared")
    path = prepared / "shards" / "00001.npy"
    path.write_bytes(path.read_bytes()[:-100])
    verdict, message = judge(prepared)
    found = failing(verdict)
    assert [row["file"] for row in found["problem"]["failing_rows"]] == [str(path)]
    assert found["pixels_sha256"]["failing_count"] == 25
    assert str(path) in message


def test_an_altered_pixel_fails_with_the_picture_named(tmp_path: Path) -> None:
    prepared = make_prepared(tmp_path / "prepared")
    path = prepared / "shards" / "00002.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x80
    path.write_bytes(data)
    found = failing(judge(prepared)[0])
    assert [row["file"] for row in found["found_sha256, prepared_sha256"]["failing_rows"]] == [str(path)]
    assert [row["file"] for row in found["pixels_sha256, sha256"]["failing_rows"]] == ["raw/0059.png"]


@pytest.mark.parametrize(
    "kind", ["no manifest", "no Parquet", "no summary", "foreign summary", "a missing column", "a wrong type"]
)
def test_what_cannot_be_read_fails_without_a_crash(tmp_path: Path, kind: str) -> None:
    prepared = make_prepared(tmp_path / "prepared")
    manifest, summary = prepared / "manifest.parquet", prepared / "summary.json"
    named = str(manifest)
    if kind == "no manifest":
        manifest.unlink()
    elif kind == "no Parquet":
        manifest.write_bytes(b"id,label\n1,cat\n")
    elif kind == "no summary":
        summary.unlink()
        named = str(summary)
    elif kind == "foreign summary":
        summary.write_text('{"count": "many"}')
        named = str(summary)
    elif kind == "a missing column":
        write_manifest(prepared, read_manifest(prepared).drop(columns="split"))
        named = "split: kind absent, wanted_kind text"
    else:
        write_manifest(prepared, read_manifest(prepared).astype({"row": str}))
        named = "row: kind text, wanted_kind whole number"
    verdict, message = judge(prepared)
    assert verdict["success"] is False
    assert named in message
    assert any("not judged" in note for note in verdict["notes"])


def test_empty_splits_and_rare_labels_say_what_to_do(tmp_path: Path) -> None:
    labels = ["cat"] * 29 + ["dog"]
    prepared = make_prepared(tmp_path / "prepared", splits=(0.0, 0.2), labels=labels)
    verdict, message = judge(prepared, gate_config("gate.max_imbalance=3"))
    found = failing(verdict)
    assert found["pictures, minimum"]["failing_rows"] == [{"id": "val", "file": "", "value": "pictures 0, minimum 2"}]
    assert [row["id"] for row in found["times_rarer"]["failing_rows"]] == ["dog"]
    assert "dataset.val_fraction" in message
    assert "gate.max_imbalance" in message


def test_rare_labels_stop_only_what_sets_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training needs no labels: a folder of which one sub-folder is nearly empty is trained on."""
    monkeypatch.setattr(expectations, "RARE", 10)
    prepared = make_prepared(tmp_path / "prepared", labels=["cat"] * 29 + ["dog"])
    verdict, _ = judge(prepared, gate_config("gate.max_imbalance=null"))
    assert verdict["success"] is True
    (remark,) = [line for line in verdict["remarks"] if "10 times rarer" in line]
    assert "dog" in remark and "max_imbalance" not in remark
    assert compose(["dataset=folder", "dataset.path=x"])["gate"]["max_imbalance"] is None


def test_unlabelled_data_passes_and_says_that_labels_were_not_checked(tmp_path: Path) -> None:
    verdict, _ = judge(make_prepared(tmp_path / "prepared", labels=None))
    assert verdict["success"] is True
    assert any("No picture has a label" in note for note in verdict["notes"])
    assert not [check for check in verdict["checks"] if check["column"] == "label"]


def test_asked_for_labels_are_held_to(tmp_path: Path) -> None:
    prepared = make_prepared(tmp_path / "prepared", labels=["cat", "dgo"])  # "dgo" everywhere, so summary.json has it too
    verdict, message = judge(prepared, gate_config("gate.labels=[cat,dog]", "gate.classes=2"))
    assert set(failing(verdict)) == {"label", "pictures"}
    assert failing(verdict)["label"]["failing_rows"][0]["value"] == "dgo"
    assert "dog: 0" in message
    with pytest.raises(ConfigError, match=r"gate\.classes: 3"):
        gate_config("gate.labels=[cat,dog]", "gate.classes=3")


def test_an_allowed_failure_returns_and_the_verdict_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = gate_config("gate.allow_failure=true", "gate.min_train=1000")
    verdict, message = judge(make_prepared(tmp_path / "prepared"), config)
    assert message == ""
    assert (verdict["success"], verdict["allowed"]) == (False, True)
    assert "Splits with too few pictures" in caplog.text
    assert require_verdict(tmp_path / "prepared", tmp_path / "validation.json", allow_failure=True)["allowed"] is True


def test_a_shift_from_the_reference_fails(tmp_path: Path) -> None:
    prepared = make_prepared(tmp_path / "prepared")  # uniform noise: mean 0.5, deviation 0.289
    reference = tmp_path / "reference.yaml"
    reference.write_text("{mean: 0.5, std: 0.2, image_size: 8, channels: 1}")
    found = failing(judge(prepared, gate_config(f"gate.reference={reference}"))[0])
    assert [row["id"] for row in found["distance"]["failing_rows"]] == ["std"]
    reference.write_text("{mean: 0.5, std: 0.2, image_size: 16, channels: 1}")
    verdict, _ = judge(prepared, gate_config(f"gate.reference={reference}"))
    assert verdict["success"] is True, "the deviation depends on the size and must not be compared across sizes"
    assert any("16 px" in note for note in verdict["notes"])


@pytest.mark.parametrize("text", [None, "mean: [", "{mean: 0.5, std: high, image_size: 8, channels: 1}"])
def test_an_unusable_reference_leaves_the_earlier_verdict(tmp_path: Path, text: str | None) -> None:
    prepared, verdict, reference = make_prepared(tmp_path / "prepared"), tmp_path / "v.json", tmp_path / "reference.yaml"
    verdict.write_text("earlier")
    if text is not None:
        reference.write_text(text)
    with pytest.raises(GateError, match=r"gate\.reference: .*reference\.yaml"):
        validate(gate_config(f"gate.reference={reference}"), prepared, verdict, tmp_path / "docs")
    assert verdict.read_text() == "earlier"
    assert not (tmp_path / "docs").exists()


def test_without_prepared_data_the_earlier_verdict_stays(tmp_path: Path) -> None:
    verdict = tmp_path / "v.json"
    verdict.write_text("earlier")
    with pytest.raises(GateError, match=r"soda prepare"):
        validate(CONFIG, tmp_path / "nowhere", verdict, tmp_path / "docs")
    assert verdict.read_text() == "earlier"


def test_the_shipped_settings_are_those_of_fashion_mnist() -> None:
    from soda.data.sources.fashion_mnist import CLASSES

    config = from_dict(compose([], ROOT / "conf")).gate
    assert config.labels is not None
    assert set(config.labels) == set(CLASSES)
    assert config.reference is not None
    assert (ROOT / config.reference).is_file()


def test_factors_that_are_missing_or_do_not_vary_are_named(tmp_path: Path) -> None:
    def edit(manifest: pd.DataFrame) -> pd.DataFrame:
        manifest["factor.hair"] = ["long", "short"] * 30
        manifest["factor.eyes"] = "open"
        manifest["factor.nose"] = ["", "", "", *["big", "small", "no"] * 19]
        return manifest

    prepared = make_prepared(tmp_path / "prepared", edit=edit)
    assert judge(prepared, gate_config("gate.factors=[hair]"))[1] == ""
    verdict, message = judge(prepared, gate_config("gate.factors=[hair,eyes,nose,hat]"))
    assert [row["id"] for row in failing(verdict)["values"]["failing_rows"]] == ["eyes", "hat"]
    assert failing(verdict)["without"]["failing_rows"] == [
        {"id": "nose", "file": "", "value": 3},
        {"id": "hat", "file": "", "value": 60},
    ]
    assert "Factors that do not vary" in message


def test_content_in_two_splits_is_named(tmp_path: Path) -> None:
    def edit(manifest: pd.DataFrame) -> pd.DataFrame:
        manifest["factor.content"] = [f"c{n // 3:02d}" for n in range(60)]  # train, val and test begin at 0, 36 and 48
        manifest.loc[59, "factor.content"] = "c00"
        return manifest

    prepared = make_prepared(tmp_path / "prepared", edit=edit)
    assert judge(prepared, gate_config("gate.factors=[content]"))[1] == ""
    verdict, message = judge(prepared, gate_config("gate.factors=[content]", "gate.held_apart=content"))
    assert list(failing(verdict)) == ["value_elsewhere"]
    rows = failing(verdict)["value_elsewhere"]["failing_rows"]
    assert [(row["id"], row["value"]) for row in rows] == [(f"p{n:04d}", "c00 (test, train)") for n in (0, 1, 2, 59)]
    assert "whose content another split has too" in message


@pytest.mark.parametrize("channels", [1, 3])
def test_failing_rows_and_what_they_name_are_seen_in_the_data_docs(channels: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 8, 8, channels), dtype=np.uint8)
    pixels[50] = pixels[3]
    prepared = make_prepared(tmp_path / "prepared", channels=channels, pixels=pixels)
    verdict, message = judge(prepared)
    assert message and not verdict["success"]
    seen = json.loads((tmp_path / "docs/thumbnails.json").read_text())
    assert "p0050" in seen and "raw/0003.png (train)" in seen and len(seen) <= 2 * MOST
    for image in seen.values():
        drawn = Image.open(io.BytesIO(base64.b64decode(image.removeprefix("data:image/jpeg;base64,"))))
        assert drawn.size == (64, 64) and drawn.mode == ("L" if channels == 1 else "RGB")
    drawn = np.asarray(
        Image.open(io.BytesIO(base64.b64decode(seen["raw/0003.png (train)"].partition(",")[2]))).convert("L"), float
    )
    assert np.corrcoef(drawn[4::8, 4::8].ravel(), pixels[3].mean(2).ravel())[0, 1] > 0.8
    page = (tmp_path / "docs/index.html").read_text()
    assert seen["raw/0003.png (train)"] in page and 'alt="p0050"' in page


def test_many_failing_rows_give_few_thumbnails_and_unreadable_shards_give_none(tmp_path: Path) -> None:
    prepared = make_prepared(tmp_path / "prepared", n=200)
    failed = [
        {"success": False, "failing_rows": [{"id": f"p{i:04d}", "value": i} for i in range(start, 100)]} for start in (0, 90)
    ]
    found = thumbnails(prepared, failed)
    assert len(found) == MOST and {"p0000", "p0090", "p0099"} <= set(found)  # some of each check
    assert thumbnails(prepared, [{"success": True, "failing_rows": []}]) == {}
    (prepared / "shards/00000.npy").write_bytes(b"damaged")
    assert thumbnails(prepared, failed) == {}
