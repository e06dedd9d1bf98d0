"""Bad tokens by their JOSE header: class C2 of the catalogue (RFC 8725 3.1, 3.10, 3.11).

Where an attacker can do it, the token is signed as its `alg` says; else with the good key, so that the header alone
is at fault.
"""

import functools
import json
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.harness.attacks import Case
from tests.harness.forged_tokens import ABSENT, Forge, Signer, as_bytes, as_is, by, by_secret, changed
from tests.live.attacks.attack_token_forms import too_long


def _public_pem(forge: Forge) -> bytes:
    return forge.key.private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _public_der(forge: Forge) -> bytes:
    return forge.key.private_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _public_jwk(forge: Forge) -> bytes:
    return json.dumps(forge.key.public_jwk()).encode()


@functools.cache
def _rsa() -> Signer:
    return by(rsa.generate_private_key(public_exponent=65537, key_size=2048))


def _header(member: str, name: str, value: Any) -> Case:
    """A header member of another value, signed with the good key."""
    return Case(f"{member} {name}", lambda f: f.with_header(**{member: value}))


def _raw(forge: Forge, before: str, after: str) -> str:
    """The header with a piece of its text replaced."""
    text = as_bytes(forge.header).decode()
    assert before in text
    return forge.with_parts(text.replace(before, after, 1).encode(), forge.claims)


def _own_jwk(forge: Forge) -> str:
    public = forge.stranger.public_jwk()
    return forge.with_header(by(forge.stranger), jwk={name: public[name] for name in ("kty", "crv", "x", "y")})


def _as_nested(forge: Forge) -> str:
    return forge.with_parts(changed(forge.header, {"cty": "JWT"}), forge.token.encode())


def _signed(alg: str, name: str, signer: Callable[[Forge], Signer | None]) -> Case:
    """An `alg`, signed as it says or in some other way."""
    return Case(f"alg '{alg}' {name}", lambda f: f.with_header(signer(f), alg=alg))


def _hmac(alg: str, digest: str, name: str, key: Callable[[Forge], bytes]) -> Case:
    """The public key as the secret of an HMAC: what a verifier computes that lets the token choose the algorithm."""
    return _signed(alg, f"with the public key as {name}", lambda f: by_secret(key(f), digest))


def _without(name: str) -> Case:
    return Case(f"{name} missing", lambda f: f.with_parts(changed(f.header, {name: ABSENT}), f.claims))


_NO_ALGORITHMS = ("none", "None", "nOnE", "")
_MACS = (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512"), ("hs256", "sha256"))
_PUBLIC = (("PEM", _public_pem), ("DER", _public_der), ("JWK", _public_jwk))

ALGORITHMS = [
    *(_signed(alg, "unsigned", lambda _: as_is(b"")) for alg in _NO_ALGORITHMS),
    *(_signed(alg, "signed by anything", lambda _: as_is(b"\1")) for alg in _NO_ALGORITHMS),
    *(_signed(alg, "signed well", lambda _: None) for alg in _NO_ALGORITHMS),
    *(_hmac(alg, digest, name, key) for alg, digest in _MACS for name, key in _PUBLIC),
    Case("alg HS256 with an empty secret", lambda f: f.with_header(by_secret(b""), alg="HS256")),
    Case("alg HS256 with the kid as secret", lambda f: f.with_header(by_secret(f.key.key_id.encode()), alg="HS256")),
    Case("alg RS256 of another key", lambda f: f.with_header(_rsa(), alg="RS256")),
    *(_header("alg", alg, alg) for alg in ("RS256", "PS256", "ES384", "ES512", "ES256K", "EdDSA", "es256", "ES256 ")),
    _header("alg", "with a full-width digit", "ES\N{FULLWIDTH DIGIT TWO}56"),
    _header("alg", "with a Cyrillic letter", "\N{CYRILLIC CAPITAL LETTER IE}S256"),
    _header("alg", "with NUL", "ES256\0"),
    _header("alg", "null", None),
    _header("alg", "a list", ["ES256"]),
    _header("alg", "a list with none", ["none", "ES256"]),
    _header("alg", "an object", {"ES256": True}),
    _header("alg", "a number", 256),
    _header("alg", "a huge number", 10**400),
    _header("alg", "true", True),
    Case("alg 1e400", lambda f: _raw(f, '"ES256"', "1e400")),
    Case("alg twice, none first", lambda f: _raw(f, '"alg"', '"alg":"none","alg"')),
    Case("alg twice, none last", lambda f: _raw(f, '"ES256"', '"ES256","alg":"none"')),
    Case("alg twice, the same", lambda f: _raw(f, '"alg"', '"alg":"ES256","alg"')),
    Case("alg twice, once escaped", lambda f: _raw(f, '"alg"', '"\\u0061lg":"none","alg"')),
]

TYPES = [
    *(
        _header("typ", f"'{typ}'", typ)
        for typ in (
            *("", "JWT", "jwt", "at+jwt", "dpop+jwt", "pair+jwt", "Pairing+JWT", "PAIRING+JWT", "pairing+jwt "),
            *("application/pairing+jwt", "pairing+jwt;v=1", "pairing", "pairing+jwt+jwt"),
        )
    ),
    _header("typ", "with a full-width plus", "pairing\N{FULLWIDTH PLUS SIGN}jwt"),
    _header("typ", "with a Cyrillic letter", "p\N{CYRILLIC SMALL LETTER A}iring+jwt"),
    _header("typ", "null", None),
    _header("typ", "a list", ["pairing+jwt"]),
    _header("typ", "a number", 1),
    _header("typ", "a huge number", 10**400),
    Case("typ twice", lambda f: _raw(f, '"typ"', '"typ":"at+jwt","typ"')),
]

KEY_IDS = [
    _header("kid", "empty", ""),
    _header("kid", "unknown", "x" * 43),
    _header("kid", "null", None),
    _header("kid", "a number", 0),
    _header("kid", "a huge number", 10**400),
    _header("kid", "an object", {}),
    _header("kid", "a path", "../../../../dev/null"),
    _header("kid", "an absolute path", "/etc/passwd"),
    _header("kid", "a URL", "file:///proc/self/environ"),
    _header("kid", "SQL", "x' UNION SELECT 'key' -- "),
    _header("kid", "a command", "x|true"),
    _header("kid", "NUL", "\0"),
    _header("kid", "of 65 characters", "x" * 65),
    _header("kid", "of 1 KiB", "x" * 1024),
    too_long("kid of 64 KiB", lambda f: f.with_header(kid="x" * 64 * 1024)),
    Case("kid in a list", lambda f: f.with_header(kid=[f.key.key_id])),
    Case("kid in upper case", lambda f: f.with_header(kid=f.key.key_id.upper())),
    Case("kid with a blank", lambda f: f.with_header(kid=f"{f.key.key_id} ")),
    Case("kid with NUL", lambda f: f.with_header(kid=f"{f.key.key_id}\0")),
    Case("kid twice", lambda f: _raw(f, '"kid"', '"kid":"other","kid"')),
]

# What a header may hold in general, and ours never does.
FURTHER_MEMBERS = [
    *(_header("crit", name, value) for name, value in (("unknown", ["x"]), ("empty", []), ("alg", ["alg"]))),
    *(_header("crit", name, value) for name, value in (("exp", ["exp"]), ("a string", "alg"), ("null", None))),
    _header("jku", "of somebody else", "https://keys.example/jwks.json"),
    _header("x5u", "of somebody else", "https://keys.example/chain.pem"),
    _header("x5c", "empty", []),
    _header("x5t", "of something", "x" * 27),
    Case("jwk of a stranger who signed", _own_jwk),
    Case("jwk of our own", lambda f: f.with_header(jwk=f.key.public_jwk())),
    _header("zip", "DEF", "DEF"),
    _header("b64", "false", False),
    _header("cty", "JWT", "JWT"),
    Case("cty JWT, with a token inside", _as_nested),
    Case("a token inside", lambda f: f.with_parts(f.header, f.token.encode())),
    _header("enc", "as a JWE has", "A256GCM"),
    _header("iss", "as a JWE may have", "https://other.example"),
    _header("\N{CYRILLIC SMALL LETTER A}lg", "beside alg", "none"),
]


def _whole(name: str, header: bytes) -> Case:
    return Case(f"header {name}", lambda f: f.with_parts(header, f.claims))


HEADERS = [
    *(_without(name) for name in ("alg", "typ", "kid")),
    Case("header with a byte order mark", lambda f: f.with_parts(b"\xef\xbb\xbf" + as_bytes(f.header), f.claims)),
    Case("header in UTF-16", lambda f: f.with_parts(as_bytes(f.header).decode().encode("utf-16"), f.claims)),
    Case("header with more behind", lambda f: f.with_parts(as_bytes(f.header) + b"{}", f.claims)),
    Case("header with a comment", lambda f: _raw(f, "{", "{/**/")),
    Case("header with a trailing comma", lambda f: _raw(f, "}", ",}")),
    Case("header in single quotes", lambda f: f.with_parts(as_bytes(f.header).replace(b'"', b"'"), f.claims)),
    Case("header in a list", lambda f: f.with_parts(b"[" + as_bytes(f.header) + b"]", f.claims)),
    too_long("header with a megabyte of blanks", lambda f: f.with_parts(as_bytes(f.header) + b" " * 2**20, f.claims)),
    _whole("null", b"null"),
    _whole("a string", b'"alg"'),
    _whole("a number", b"1"),
    _whole("empty", b"{}"),
    _whole("not UTF-8", b'{"alg":"\xff"}'),
    _whole("nested 300 deep", b'{"alg":' + b"[" * 300 + b"]" * 300 + b"}"),
    _whole("no JSON", b"\0\1\2\3"),
]

ALL = [*ALGORITHMS, *TYPES, *KEY_IDS, *FURTHER_MEMBERS, *HEADERS]
