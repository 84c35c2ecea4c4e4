"""Signatures of releases, as OpenSSF Model Signing writes them: ECDSA with a key file of one's own, no network, no certificate.

The signature is over the SHA-256 of every file of the folder. Who verifies needs the public key from elsewhere than the folder of
releases: whoever can change the one could change the other.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soda.common.files import file_sha256, whole_file, write_json
from soda.release import ReleaseError
from soda.release.store import FACTS, facts_of
from soda.runtime.signed import (
    BUNDLE,
    PAYLOAD,
    PREDICATE,
    SIGNATURE,
    SignatureError,
    crypto,
    hash_for,
    root_digest,
    signed_hashes,
    signed_message,
)

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec


def make_key(private: Path) -> Path:
    """Make a key for signing, readable by its owner alone, and its public part beside it (`.pub`), whose path is returned.

    A key that is there stays; its public part is written again when it is missing.
    """
    serialization = crypto()
    from cryptography.hazmat.primitives.asymmetric import ec

    public = private.with_name(f"{private.name}.pub")
    if not private.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        with whole_file(private) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_bytes(made.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    if not public.exists():
        with whole_file(public) as temporary:
            temporary.write_bytes(_public_pem(_read_private(private)))
    return public


@contextmanager
def _reading(path: Path, kind: str) -> Iterator[None]:
    """Raises ReleaseError for a file that cannot be read or is no key of that kind."""
    try:
        yield
    except OSError as error:
        raise ReleaseError(f"{path}: {error.strerror or error}") from None
    except (ValueError, TypeError) as error:
        raise ReleaseError(f"{path}: not a {kind} key ({error})") from None


def _read_private(path: Path) -> ec.EllipticCurvePrivateKey:
    serialization = crypto()
    from cryptography.hazmat.primitives.asymmetric import ec

    with _reading(path, "private"):
        if path.stat().st_mode & 0o077:
            raise ReleaseError(f"{path}: others can read this key; chmod 600 {path}")
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("it must be one of an elliptic curve, as P-256")
        hash_for(key)
    return key


def _public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    serialization = crypto()
    made: bytes = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return made


def sign(folder: Path, private: Path, name: str) -> None:
    """Sign every file of the folder of a release. name: what the model is called in the statement."""
    key = _read_private(private)
    payload = json.dumps(_statement(name, {each: file_sha256(folder / each) for each in _files(folder)}), indent=2).encode()
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD,
        "signatures": [{"sig": base64.b64encode(key.sign(signed_message(payload), hash_for(key))).decode(), "keyid": ""}],
    }
    material = {"publicKey": {"hint": hashlib.sha256(_public_pem(key)).hexdigest()}, "tlogEntries": []}
    write_json(folder / SIGNATURE, {"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope})


def _statement(name: str, hashes: Mapping[str, str]) -> dict[str, Any]:
    how = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [SIGNATURE]}
    resources = [{"name": file, "algorithm": "sha256", "digest": digest} for file, digest in hashes.items()]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": root_digest(hashes.values())}}],
        "predicateType": PREDICATE,
        "predicate": {"serialization": how, "resources": resources},
    }


def _files(folder: Path) -> list[str]:
    """All files of a release but its signature, sorted."""
    present = {each.relative_to(folder).as_posix() for each in folder.rglob("*") if not each.is_dir()}
    return sorted(present - {SIGNATURE})


def _hold(folder: Path, present: Sequence[str], hashes: Mapping[str, str]) -> None:
    """Hold those files of the folder to their hashes. Raises ReleaseError naming the first that is missing, changed or added."""
    for name in sorted({*present, *hashes}):
        if name not in hashes:
            raise ReleaseError(f"{folder / name}: this file was added after the release was made")
        if name not in present or file_sha256(folder / name) != hashes[name]:
            raise ReleaseError(f"{folder / name}: {'changed' if name in present else 'gone'} since the release was made")


def verify_files(folder: Path) -> None:
    """Hold the files of a release to its release.json, signed or not. Raises ReleaseError naming what is missing, changed or
    added."""
    listed = facts_of(folder).get("files")
    if not isinstance(listed, dict):
        raise ReleaseError(f"{folder / FACTS}: it lists no files")
    present = [name for name in _files(folder) if name != FACTS]
    _hold(folder, present, {name: each["sha256"] for name, each in listed.items()})


def verify(folder: Path, public: Path) -> None:
    """Hold a release to the public key: its signature, and the hash of each file. Raises ReleaseError when anything differs."""
    try:
        hashes = signed_hashes(folder, public)
    except SignatureError as error:
        raise ReleaseError(str(error)) from None
    _hold(folder, _files(folder), hashes)
