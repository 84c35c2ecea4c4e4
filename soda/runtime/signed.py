"""Whether files are those of a signed release: its folder's model.sig is right, and has the hash of these very bytes.

The format is OpenSSF Model Signing's (version 1.0, with a key): a Sigstore bundle around an in-toto statement that names every
file, so that `model_signing verify key` reads it, too. Needs cryptography, which the base install does not bring: nobody needs it
who does not ask.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soda.common.errors import InputError, NotInstalledError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

SIGNATURE = "model.sig"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD = "application/vnd.in-toto+json"
PREDICATE = "https://model_signing/signature/v1.0"


class SignatureError(InputError):
    """What was to be verified is not what was signed by that key; the message names the file."""


def crypto() -> Any:
    """cryptography's serialization. Raises NotInstalledError with the line to type."""
    try:
        from cryptography.hazmat.primitives import serialization
    except ModuleNotFoundError:
        raise NotInstalledError("signatures need cryptography: pip install cryptography") from None
    return serialization


def hash_for(key: ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey) -> ec.ECDSA:
    """The signature's hash for the curve of a key. Raises ValueError for another curve than P-256, P-384 and P-521."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    known = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}
    if key.curve.name not in known:
        raise ValueError(f"its curve is {key.curve.name}, not P-256, P-384 or P-521")
    return ec.ECDSA(known[key.curve.name])


def read_public(path: Path) -> ec.EllipticCurvePublicKey:
    """Raises SignatureError for a file that cannot be read or is no public key of an elliptic curve."""
    serialization = crypto()
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_public_key(path.read_bytes())
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise ValueError("it must be one of an elliptic curve, as P-256")
        hash_for(key)
    except OSError as error:
        raise SignatureError(f"{path}: {error.strerror or error}") from None
    except (ValueError, TypeError) as error:
        raise SignatureError(f"{path}: not a public key ({error})") from None
    return key


def signed_message(payload: bytes) -> bytes:
    """What is signed of a payload: DSSE's pre-authentication encoding (github.com/secure-systems-lab/dsse)."""
    return f"DSSEv1 {len(PAYLOAD)} {PAYLOAD} {len(payload)} ".encode() + payload


def root_digest(hashes: Iterable[str]) -> str:
    """SHA-256 over the files' own, as bytes, in the order of the statement."""
    return hashlib.sha256(b"".join(map(bytes.fromhex, hashes))).hexdigest()


def signed_hashes(folder: Path, public: Path) -> dict[str, str]:
    """File of a folder -> SHA-256, once the signature by that key was found right. Raises SignatureError."""
    key, path = read_public(public), folder / SIGNATURE
    from cryptography.exceptions import InvalidSignature

    try:
        envelope = json.loads(path.read_text(encoding="utf-8"))["dsseEnvelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        signature = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
        key.verify(signature, signed_message(payload), hash_for(key))
        return _hashes_in(json.loads(payload))
    except FileNotFoundError:
        raise SignatureError(f"{folder}: it is not signed ({SIGNATURE} is not there)") from None
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise SignatureError(f"{path}: no signature of a model's files ({type(error).__name__}: {error})") from None
    except InvalidSignature:
        raise SignatureError(f"{path}: it is not of the key {public}, or was changed") from None


def _hashes_in(statement: dict[str, Any]) -> dict[str, str]:
    """Raises ValueError for a statement of another kind, or one that contradicts itself."""
    how, resources = statement["predicate"]["serialization"], statement["predicate"]["resources"]
    if (statement["predicateType"], how["method"], how["hash_type"]) != (PREDICATE, "files", "sha256"):
        raise ValueError(f"it is of {statement['predicateType']}, {how['method']}, {how['hash_type']}")
    if any(each["algorithm"] != "sha256" for each in resources):
        raise ValueError("a file's hash is not SHA-256")
    hashes = {str(each["name"]): str(each["digest"]) for each in resources}
    if len(hashes) != len(resources) or statement["subject"][0]["digest"]["sha256"] != root_digest(hashes.values()):
        raise ValueError("the hash of all is not that of its files")
    return hashes


def require_signed(path: Path, content: bytes, public: Path) -> None:
    """Hold the bytes that were read from `path`, a file of a release's folder, to the public key. Raises SignatureError."""
    if signed_hashes(path.parent, public).get(path.name) != hashlib.sha256(content).hexdigest():
        raise SignatureError(f"{path}: changed since the release was made, or not a file of it")
