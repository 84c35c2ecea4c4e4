"""Signatures of releases: Ed25519 with a key file of one's own, no network, no certificate.

`release.json` has the SHA-256 of every file of the release; the signature is over that file's bytes. Who verifies needs the
public key from elsewhere than the folder of releases: whoever can change the one could change the other.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from soda.common.files import file_sha256, whole_file, write_json
from soda.release import ReleaseError
from soda.release.store import FACTS, facts_of
from soda.runtime.signed import SIGNATURE, SignatureError, crypto, signed_facts

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def make_key(private: Path) -> Path:
    """Make a key for signing, readable by its owner alone, and its public part beside it (`.pub`), whose path is returned.

    A key that is there stays; its public part is written again when it is missing.
    """
    serialization = crypto()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = private.with_name(f"{private.name}.pub")
    if not private.exists():
        made = Ed25519PrivateKey.generate()
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        with whole_file(private) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_bytes(made.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    if not public.exists():
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        with whole_file(public) as temporary:
            temporary.write_bytes(_read_private(private).public_key().public_bytes(serialization.Encoding.PEM, form))
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


def _read_private(path: Path) -> Ed25519PrivateKey:
    serialization = crypto()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    with _reading(path, "private"):
        if path.stat().st_mode & 0o077:
            raise ReleaseError(f"{path}: others can read this key; chmod 600 {path}")
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ReleaseError(f"{path}: it must be an Ed25519 key")
    return key


def sign(folder: Path, private: Path) -> None:
    """Sign the release in that folder, whose release.json has the hashes of its files."""
    signature = _read_private(private).sign((folder / FACTS).read_bytes())
    write_json(folder / SIGNATURE, {"algorithm": "ed25519", "of": FACTS, "signature": base64.b64encode(signature).decode()})


def verify_files(folder: Path) -> None:
    """Hold the files of a release to its release.json. Raises ReleaseError naming what is missing, changed or added."""
    listed = facts_of(folder).get("files")
    if not isinstance(listed, dict):
        raise ReleaseError(f"{folder / FACTS}: it lists no files")
    present = {each.relative_to(folder).as_posix() for each in folder.rglob("*") if not each.is_dir()}
    present -= {FACTS, SIGNATURE}
    for name in sorted(present | set(listed)):
        if name not in listed:
            raise ReleaseError(f"{folder / name}: this file was added after the release was made")
        if name not in present or file_sha256(folder / name) != listed[name]["sha256"]:
            raise ReleaseError(f"{folder / name}: {'changed' if name in present else 'gone'} since the release was made")


def verify(folder: Path, public: Path) -> None:
    """Hold a release to the public key: its signature, and the hash of each file. Raises ReleaseError when anything differs."""
    try:
        signed_facts(folder, public)
    except SignatureError as error:
        raise ReleaseError(str(error)) from None
    verify_files(folder)
