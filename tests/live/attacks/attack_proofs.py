"""Bad DPoP proofs, shown with a good pairing token: class C5 of the catalogue (RFC 9449 4.3)."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from urllib3 import HTTPHeaderDict

from tallystick.crypto.keys import SigningKey
from tests.harness.attacks import NO_HTTP, NO_PROOF, Expected, Row, Victim, redemption, send_form
from tests.harness.exchange import Exchange, HttpAnswer
from tests.harness.forged_tokens import (
    ABSENT,
    Signer,
    as_bytes,
    as_is,
    b64,
    by,
    by_secret,
    changed,
    jws,
    other_last_bits,
)

Json = dict[str, Any]

# A point of order 1: everything verifies under it where nobody looks (RFC 8725 3.4).
LOW_ORDER = b"\1" + bytes(31)


@dataclass(frozen=True, slots=True)
class Prover:
    """Makes proofs for one request, good ones unless it is told otherwise."""

    key: SigningKey
    url: str
    now: int

    @property
    def jwk(self) -> Json:
        public = self.key.public_jwk()
        return {name: public[name] for name in ("kty", "crv", "x", "y")}

    def header(self, **changes: Any) -> Json:
        return changed({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk}, changes)

    def payload(self, **changes: Any) -> Json:
        return changed({"jti": "6c1d0f3e", "htm": "POST", "htu": self.url, "iat": self.now}, changes)

    def proof(self, header: Json | None = None, payload: Json | bytes | None = None, sign: Signer | None = None) -> str:
        return jws(header or self.header(), payload or self.payload(), sign or by(self.key))

    def with_jwk(self, sign: Signer | None = None, **changes: Any) -> str:
        return self.proof(self.header(jwk=changed(self.jwk, changes)), sign=sign)


class Proof(NamedTuple):
    """A bad proof."""

    id: str
    build: Callable[[Prover], str]
    expected: Expected = NO_PROOF


def _header(name: str, member: str, value: Any) -> Proof:
    return Proof(f"{member} {name}", lambda p: p.proof(p.header(**{member: value})))


def _claim(name: str, claim: str, value: Any) -> Proof:
    return Proof(f"{claim} {name}", lambda p: p.proof(payload=p.payload(**{claim: value})))


def _without_algorithm(alg: str) -> Proof:
    return Proof(f"alg '{alg}'", lambda p: p.proof(p.header(alg=alg), sign=as_is(b"\1")))


def _weak_rsa(prover: Prover) -> str:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - the weakness under test
    modulus = weak.public_key().public_numbers().n.to_bytes(128, "big")
    return prover.proof(prover.header(alg="RS256", jwk={"kty": "RSA", "n": b64(modulus), "e": "AQAB"}), sign=by(weak))


def _low_order(prover: Prover) -> str:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(LOW_ORDER)}
    return prover.proof(prover.header(alg="EdDSA", jwk=jwk), sign=as_is(LOW_ORDER + bytes(32)))


def _private(prover: Prover) -> str:
    private = prover.key.private_key
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return prover.with_jwk(d=b64(private.private_numbers().private_value.to_bytes(32, "big")))


def _symmetric(prover: Prover) -> str:
    return prover.proof(prover.header(alg="HS256", jwk={"kty": "oct", "k": b64(b"k" * 32)}), sign=by_secret(b"k" * 32))


def _public_as_secret(prover: Prover) -> str:
    return prover.proof(prover.header(alg="HS256"), sign=by_secret(as_bytes(prover.jwk)))


def _method_twice(prover: Prover) -> bytes:
    return as_bytes(prover.payload())[:-1] + b',"htm":"POST"}'


def _other(prover: Prover) -> Signer:
    return by(SigningKey.generate("ES256"))


# htm, htu and iat: what the proof is for.
REQUEST = [
    *(
        _claim(name, "htu", url)
        for name, url in (("of another place", "https://other.example/oauth2/token"), ("empty", ""))
    ),
    Proof("htu of another endpoint", lambda p: p.proof(payload=p.payload(htu=p.url.replace("token", "revoke")))),
    Proof("htu with a trailing slash", lambda p: p.proof(payload=p.payload(htu=f"{p.url}/"))),
    Proof("htu without TLS", lambda p: p.proof(payload=p.payload(htu=p.url.replace("https", "http")))),
    Proof("htu in a list", lambda p: p.proof(payload=p.payload(htu=[p.url]))),
    *(_claim(f"'{method}'", "htm", method) for method in ("GET", "post", "")),
    Proof("iat old", lambda p: p.proof(payload=p.payload(iat=p.now - 120))),
    Proof("iat in the future", lambda p: p.proof(payload=p.payload(iat=p.now + 120))),
    Proof("iat a string", lambda p: p.proof(payload=p.payload(iat=str(p.now)))),
    Proof("iat a fraction", lambda p: p.proof(payload=p.payload(iat=p.now + 0.5))),
    _claim("true", "iat", True),
    _claim("huge", "iat", 10**400),
    *(_claim("missing", claim, ABSENT) for claim in ("jti", "htm", "htu", "iat")),
    _claim("empty", "jti", ""),
    _claim("a number", "jti", 1),
    _claim("of 129 characters", "jti", "x" * 129),
    Proof("htm twice", lambda p: p.proof(payload=_method_twice(p))),
]

# Whose proof it is.
KEYS = [
    _header("HS256", "alg", "HS256"),
    Proof("symmetric", _symmetric),
    Proof("symmetric, with the public key as secret", _public_as_secret),
    *(_without_algorithm(alg) for alg in ("none", "None", "")),
    _header("missing", "alg", ABSENT),
    _header("a list", "alg", ["ES256"]),
    *(_header(f"'{typ}'", "typ", typ) for typ in ("JWT", "jwt", "at+jwt", "DPoP+JWT", "application/dpop+jwt", "")),
    _header("missing", "typ", ABSENT),
    Proof("with a private key", _private),
    Proof("of a weak RSA key", _weak_rsa),
    Proof("of a low-order Ed25519 point", _low_order),
    Proof("of another key than it names", lambda p: p.proof(sign=_other(p))),
    Proof("with its signature changed", lambda p: other_last_bits(p.proof(), 16)),
    Proof("with unused bits changed", lambda p: other_last_bits(p.proof(), 1)),
    Proof("with a signature of zeros", lambda p: p.proof(sign=as_is(bytes(64)))),
    Proof("of a point that is not on the curve", lambda p: p.with_jwk(y=p.jwk["x"])),
    Proof("of the point at infinity", lambda p: p.with_jwk(x=b64(bytes(32)), y=b64(bytes(32)))),
    Proof("of a point with a short coordinate", lambda p: p.with_jwk(x=b64(b"\1" * 31))),
    Proof("of another curve", lambda p: p.with_jwk(crv="P-384")),
    *(
        _header(name, "jwk", jwk)
        for name, jwk in (("missing", ABSENT), ("null", None), ("a string", "x"), ("empty", {}))
    ),
    Proof("jwk in a list", lambda p: p.proof(p.header(jwk=[p.jwk]))),
    Proof("kid in place of jwk", lambda p: p.proof(p.header(jwk=ABSENT, kid=p.key.key_id))),
    _header("of somebody", "jku", "https://keys.example/jwks.json"),
    _header("unknown", "crit", ["x"]),
]

FORMS = [
    Proof("no JWT", lambda _: "garbage"),
    Proof("two segments", lambda p: p.proof().rpartition(".")[0]),
    Proof("padded", lambda p: f"{p.proof()}="),
    Proof("twice, with a comma", lambda p: f"{p.proof()}, {p.proof()}"),
    Proof(
        "JSON serialisation",
        lambda p: json.dumps(dict(zip(("protected", "payload", "signature"), p.proof().split("."), strict=True))),
    ),
    Proof("in base64 once more", lambda p: base64.b64encode(p.proof().encode()).decode()),
    Proof("outside of ASCII", lambda p: f"{p.proof()}\xff"),
    Proof("with NUL", lambda p: f"{p.proof()}\0", NO_HTTP),
    Proof("of 4 KiB and more", lambda p: p.proof(payload=p.payload(jti="x" * 4096))),
    Proof("of 8 KiB and more", lambda p: p.proof(payload=p.payload(jti="x" * 8192)), NO_HTTP),
]


def _prover(victim: Victim, client: Exchange) -> Prover:
    now = int(client.clock.now().timestamp())
    return Prover(victim.pairing.stranger, f"{client.issuer}/oauth2/token", now)


def _row(proof: Proof) -> Row:
    def send(victim: Victim, client: Exchange) -> HttpAnswer:
        text = proof.build(_prover(victim, client))
        victim.note(text)
        return client.redeem(victim.pairing.token, proof=text)

    return Row(f"proof {proof.id}", send, proof.expected)


def _shown(*proofs: Callable[[Prover, Victim], str]) -> Callable[[Victim, Exchange], HttpAnswer]:
    def send(victim: Victim, client: Exchange) -> HttpAnswer:
        prover = _prover(victim, client)
        headers = HTTPHeaderDict()
        for proof in proofs:
            headers.add("DPoP", proof(prover, victim))
        return send_form(client, "/oauth2/token", redemption(victim.pairing.token), headers)

    return send


ALL = [
    *map(_row, (*REQUEST, *KEYS, *FORMS)),
    Row("proof twice, in two headers", _shown(lambda p, _: p.proof(), lambda p, _: p.proof()), NO_PROOF),
    Row("proof good and bad, in two headers", _shown(lambda p, _: p.proof(), lambda _, __: "x"), NO_PROOF),
    Row("proof empty", _shown(lambda _, __: ""), NO_PROOF),
    Row("proof is the pairing token", _shown(lambda _, victim: victim.pairing.token), NO_PROOF),
    Row("proof is the master token", _shown(lambda _, victim: victim.master.token), NO_PROOF),
]
