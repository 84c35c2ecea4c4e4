"""Signatures of releases: ours, and those of OpenSSF's own tool."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from soda.cli import main
from soda.release import ReleaseError
from soda.release.signing import make_key, sign, verify
from soda.runtime import Encoder
from soda.runtime.signed import SignatureError
from tests.support.releases import release
from tests.support.running import ENCODER
from tests.support.scratch_project import PROJECT


def test_a_signature_holds_every_file_and_another_key_does_not_do(tmp_path: Path) -> None:
    folder, key = release(tmp_path, "v1.0.0", ENCODER), tmp_path / "signing.key"
    public = key.with_name("signing.key.pub")
    assert key.stat().st_mode & 0o777 == 0o600
    verify(folder, public)
    other = make_key(tmp_path / "other.key")
    with pytest.raises(ReleaseError, match="is not of the key"):
        verify(folder, other)
    before = {name: (folder / name).read_bytes() for name in ("encoder.onnx", "README.md", "release.json")}
    for name, content in before.items():
        (folder / name).write_bytes(content[:-2] + b" \n")
        with pytest.raises(ReleaseError, match=r"changed"):
            verify(folder, public)
        (folder / name).write_bytes(content)
    (folder / "more.onnx").touch()
    with pytest.raises(ReleaseError, match="added"):
        verify(folder, public)
    (folder / "more.onnx").unlink()
    (folder / "model.sig").unlink()
    with pytest.raises(ReleaseError, match="not signed"):
        verify(folder, public)
    key.chmod(0o644)
    with pytest.raises(ReleaseError, match="chmod 600"):
        sign(folder, key, "encoder@v1.0.0")


def test_what_openssfs_own_tool_signed_is_verified(tmp_path: Path) -> None:
    """tests/support/openssf was signed by `model_signing sign key` of model-signing 1.1.1."""
    folder = shutil.copytree(PROJECT / "tests/support/openssf", tmp_path / "model")
    public = PROJECT / "tests/support/openssf.pub"
    verify(folder, public)
    bundle = json.loads((folder / "model.sig").read_text())
    forged = base64.b64decode(bundle["dsseEnvelope"]["payload"]).replace(b'"README.md"', b'"README.mk"')
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(forged).decode()
    (folder / "README.md").rename(folder / "README.mk")
    (folder / "model.sig").write_text(json.dumps(bundle))
    with pytest.raises(ReleaseError, match="was changed"):
        verify(folder, public)


@pytest.mark.skipif(shutil.which("model_signing") is None, reason="model-signing is not installed")
def test_openssfs_own_tool_verifies_what_we_signed(tmp_path: Path) -> None:
    folder, key = release(tmp_path, "v1.0.0", ENCODER), tmp_path / "signing.key"
    line = ["model_signing", "verify", "key", folder, "--signature", folder / "model.sig", "--public_key", f"{key}.pub"]
    assert subprocess.run(line, capture_output=True, check=False).returncode == 0
    (folder / "encoder.onnx").write_bytes(b"another")
    assert subprocess.run(line, capture_output=True, check=False).returncode != 0


def test_a_key_of_another_kind_is_named(tmp_path: Path) -> None:
    private = tmp_path / "signing.key"
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private.write_bytes(Ed25519PrivateKey.generate().private_bytes(pem, form, serialization.NoEncryption()))
    private.chmod(0o600)
    with pytest.raises(ReleaseError, match=r"signing\.key: not a private key \(it must be one of an elliptic curve"):
        make_key(private)


def test_an_encoder_is_loaded_only_as_it_was_signed_when_that_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder, public = release(tmp_path, "v1.0.0", ENCODER) / "encoder.onnx", tmp_path / "signing.key.pub"
    z = Encoder(encoder, verify=public, threads=1).run(np.zeros((1, 32, 32, 3), np.uint8))
    assert z.shape[0] == 1
    other = make_key(tmp_path / "other.key")
    with pytest.raises(SignatureError, match="not of the key"):
        Encoder(encoder, verify=other)
    with pytest.raises(SignatureError, match="it is not signed"):
        Encoder(ENCODER, verify=public)
    (tmp_path / "photos").mkdir()
    with pytest.raises(SystemExit):
        main(["embed", str(tmp_path / "photos"), "--encoder", str(encoder), "--verify", str(other)])
    assert "not of the key" in capsys.readouterr().err
    swapped = PROJECT / "zoo/emoji/encoder.onnx"  # another good encoder in its place
    encoder.write_bytes(swapped.read_bytes())
    Encoder(encoder, threads=1)
    with pytest.raises(SignatureError, match="changed since the release was made"):
        Encoder(encoder, verify=public)
