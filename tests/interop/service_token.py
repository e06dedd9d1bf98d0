"""Sign and verify service tokens with a mounted join key. Python 3.11 or newer, standard library alone."""

import base64
import hmac
import json
import re
import time
import uuid
from pathlib import Path


def load(folder):
    """Read the mounted Secret. Call it for each token, or whenever the folder changes."""
    link = Path(folder, "..data")  # kubelet swaps this link, so all files are of one version
    current = (link if link.exists() else Path(folder)).resolve()
    files = {file.name: file.read_text().strip() for file in current.iterdir() if file.is_file()}
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
    header = {"alg": "HS256", "kid": kid, "typ": "service+jwt"}
    claims = {"aud": member["cluster"], "exp": now + lifetime, "iat": now, "iss": service, "jti": str(uuid.uuid4())}
    text = ".".join(encode(json.dumps(part).encode()) for part in (header, claims))
    return f"{text}.{encode(mac(key, text))}"


def verify(token, member, now=None):
    """Return the claims of a token; raise ValueError if it is not valid."""
    now = int(time.time() if now is None else now)
    require(len(token) <= 8192 and re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", token, re.ASCII))
    head, body, signature = token.split(".")
    header = json.loads(decode(head))
    require(isinstance(header, dict) and set(header) == {"alg", "kid", "typ"})
    require(header["alg"] == "HS256" and header["typ"] == "service+jwt")
    kid = header["kid"]
    require(isinstance(kid, str) and re.fullmatch("jk-[0-9a-f]{24}", kid))
    if kid not in member["keys"]:
        raise ValueError(f"join key mismatch (token kid {kid}, local kid {', '.join(member['keys'])})")
    require(hmac.compare_digest(mac(member["keys"][kid], f"{head}.{body}"), decode(signature)))
    claims = json.loads(decode(body))
    require(isinstance(claims, dict) and type(claims.get("iat")) is int and type(claims.get("exp")) is int)
    require(claims["iat"] <= now + 60 and now < claims["exp"] and 0 < claims["exp"] - claims["iat"] <= 3600)
    require(all(isinstance(claims.get(name), str) for name in ("aud", "iss", "jti")))
    require(claims["aud"] == member["cluster"] and 0 < len(claims["jti"]) <= 64)
    services = member["services"]
    require(claims["iss"] in services if services else re.fullmatch("[a-z0-9-]{1,63}", claims["iss"]))
    return claims


def require(condition):
    """Reject the token if a condition does not hold. The caller learns no reason."""
    if not condition:
        raise ValueError("the token is not valid")


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
    require(encode(raw) == text)
    return raw
