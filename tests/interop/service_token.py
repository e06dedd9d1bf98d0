"""Sign and verify service tokens with a mounted join key. Python 3.11 or newer, standard library alone."""

import base64
import hmac
import json
import re
import time
import uuid
from pathlib import Path

TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


def load(folder):
    """Read the mounted Secret. Call it for each token, or whenever the folder changes."""
    link = Path(folder, "..data")  # kubelet swaps this link, so all files are of one version
    files = {
        file.name: file.read_text().strip() for file in (link if link.exists() else Path(folder)).resolve().iterdir()
    }
    keys = [bytes.fromhex(files[name]) for name in ("join-key", "join-key-accepted") if name in files]
    return {
        "keys": {key_id(key): key for key in keys},  # the first one signs
        "cluster": files["cluster-name"],
        "services": [name for name in files.get("services", "").split(",") if name],
    }


def sign(member, service, lifetime=300, now=None):
    """Sign a token of this service for the other services of its cluster."""
    kid, key = next(iter(member["keys"].items()))
    now = int(time.time() if now is None else now)
    claims = {"aud": member["cluster"], "exp": now + lifetime, "iat": now, "iss": service, "jti": str(uuid.uuid4())}
    text = ".".join(
        encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "kid": kid, "typ": "service+jwt"}, claims)
    )
    return f"{text}.{encode(mac(key, text))}"


def verify(token, member, now=None):
    """Return the claims of a token; raise ValueError if it is not valid."""
    now = int(time.time() if now is None else now)
    if not TOKEN.fullmatch(token) or len(token) > 8192:
        raise ValueError("the token is not valid")
    head, body, signature = token.split(".")
    header = json.loads(decode(head))
    if (
        type(header) is not dict
        or set(header) != {"alg", "kid", "typ"}
        or (header["alg"], header["typ"]) != ("HS256", "service+jwt")
    ):
        raise ValueError("the token is not valid")
    kid = header["kid"]
    if not isinstance(kid, str) or not re.fullmatch(r"jk-[0-9a-f]{24}", kid):
        raise ValueError("the token is not valid")
    if kid not in member["keys"]:
        raise ValueError(f"join key mismatch (token kid {kid}, local kid {', '.join(member['keys'])})")
    if not hmac.compare_digest(mac(member["keys"][kid], f"{head}.{body}"), decode(signature)):
        raise ValueError("the token is not valid")
    claims = json.loads(decode(body))
    if not is_valid(claims, member, now):
        raise ValueError("the token is not valid")
    return claims


def is_valid(claims, member, now):
    """Check the claims of a token whose signature is verified."""
    if type(claims) is not dict or type(claims.get("iat")) is not int or type(claims.get("exp")) is not int:
        return False
    iss, aud, jti = (claims.get(name) for name in ("iss", "aud", "jti"))
    if not isinstance(iss, str) or not isinstance(jti, str) or not 0 < len(jti) <= 64:
        return False
    in_time = claims["iat"] <= now + 60 and now < claims["exp"] and 0 < claims["exp"] - claims["iat"] <= 3600
    is_member = iss in member["services"] if member["services"] else re.fullmatch("[a-z0-9-]{1,63}", iss) is not None
    return in_time and is_member and aud == member["cluster"]


def key_id(key):
    """Return the fingerprint of a join key: the `kid` of its tokens."""
    return "jk-" + derive(key, "tallystick.dev/join-key/fingerprint/v1", 12).hex()


def mac(key, text):
    """Return the signature of a text."""
    return hmac.digest(derive(key, "tallystick.dev/join-key/hs256/v1", 32), text.encode(), "sha256")


def derive(key, info, length):
    """HKDF-SHA-256 without salt (RFC 5869), for up to 32 bytes."""
    return hmac.digest(hmac.digest(bytes(32), key, "sha256"), info.encode() + b"\1", "sha256")[:length]


def encode(raw):
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text):
    """Read base64url, in its one spelling."""
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode(raw) != text:
        raise ValueError("the token is not valid")
    return raw
