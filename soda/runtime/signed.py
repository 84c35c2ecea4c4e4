"""Whether an encoder's file is of a signed release: its folder's release.json is signed, and has the hash of these very bytes.

Needs cryptography, which the base install does not bring: nobody needs it who does not ask.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soda.common.errors import InputError, NotInstalledError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FACTS, SIGNATURE = "release.json", "signature.json"


class SignatureError(InputError):
    """What was to be verified is not what was signed by that key; the message names the file."""


def crypto() -> Any:
    """cryptography's serialization. Raises NotInstalledError with the line to type."""
    try:
        from cryptography.hazmat.primitives import serialization
    except ModuleNotFoundError:
        raise NotInstalledError("signatures need cryptography: pip install cryptography") from None
    return serialization


def read_public(path: Path) -> Ed25519PublicKey:
    """Raises SignatureError for a file that cannot be read or is no public Ed25519 key."""
    serialization = crypto()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise SignatureError(f"{path}: {error.strerror or error}") from None
    except (ValueError, TypeError) as error:
        raise SignatureError(f"{path}: not a public key ({error})") from None
    if not isinstance(key, Ed25519PublicKey):
        raise SignatureError(f"{path}: it must be an Ed25519 key")
    return key


def signed_facts(folder: Path, public: Path) -> dict[str, Any]:
    """What the release.json of a folder says, once its signature by that key was found right. Raises SignatureError."""
    key, path = read_public(public), folder / SIGNATURE
    from cryptography.exceptions import InvalidSignature

    try:
        content = (folder / FACTS).read_bytes()
        signature = base64.b64decode(json.loads(path.read_text(encoding="utf-8"))["signature"], validate=True)
        key.verify(signature, content)
        return dict(json.loads(content))
    except FileNotFoundError:
        raise SignatureError(f"{folder}: it is not signed") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SignatureError(f"{path}: no signature ({error})") from None
    except InvalidSignature:
        raise SignatureError(f"{folder}: its signature is not of the key {public}, or {FACTS} was changed") from None


def require_signed(path: Path, content: bytes, public: Path) -> None:
    """Hold the bytes that were read from `path`, a file of a release's folder, to the public key. Raises SignatureError."""
    listed = signed_facts(path.parent, public).get("files")
    known = listed.get(path.name) if isinstance(listed, dict) else None
    if not isinstance(known, dict) or known.get("sha256") != hashlib.sha256(content).hexdigest():
        raise SignatureError(f"{path}: changed since the release was made, or not a file of it")
