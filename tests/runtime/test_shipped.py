"""Every shipped model in whatever onnxruntime is installed; `make test-oldest` tries the oldest that is allowed, too."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest

from soda.runtime import Decoder, Encoder, EncoderError

ZOO = Path(__file__).parents[2] / "zoo"
ENCODERS = sorted(ZOO.glob("*/encoder*.onnx"))
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 57, 33, 3), dtype=np.uint8)


@pytest.mark.parametrize("path", ENCODERS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_encoder_loads_and_resizes_as_pillow_does(path: Path) -> None:
    encoder = Encoder(path, threads=1)
    inside, before = encoder.run(IMAGES), encoder.embed(IMAGES)
    np.testing.assert_allclose(inside / encoder.std, before / encoder.std, atol=1e-4)


@pytest.mark.parametrize("path", sorted(ZOO.glob("*/denoiser.onnx")), ids=lambda path: path.parent.name)
def test_a_denoiser_loads_and_draws(path: Path) -> None:
    decoder = Decoder(path, threads=1)
    assert decoder.sample(np.zeros((1, decoder.latent_dim), np.float32), steps=2).dtype == np.uint8


def test_a_model_can_be_handed_to_other_processes_and_machines(tmp_path: Path) -> None:
    path = tmp_path / "encoder.onnx"
    path.write_bytes((ZOO / "emoji/encoder.onnx").read_bytes())
    encoder = Encoder(path, threads=1)
    wanted, handed = encoder.embed(IMAGES), pickle.dumps(encoder)
    path.unlink()  # the other machine has no such file
    there = pickle.loads(handed)
    again = pickle.loads(pickle.dumps(copy.copy(there)))
    np.testing.assert_array_equal(there.embed(IMAGES), wanted)
    np.testing.assert_array_equal(again.normalized(again.embed(IMAGES), "stats"), encoder.normalized(wanted, "stats"))
    assert repr(there) == repr(encoder) and not there.mean.flags.writeable
    path.write_bytes((ZOO / "avatars/encoder.onnx").read_bytes())
    with pytest.raises(EncoderError, match=r"encoder\.onnx: it changed since it was loaded"):
        pickle.dumps(encoder)
    decoder = pickle.loads(pickle.dumps(Decoder(ZOO / "emoji/denoiser.onnx", threads=1)))
    assert decoder.directions
