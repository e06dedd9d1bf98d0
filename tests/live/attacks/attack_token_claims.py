"""Bad tokens by their claims: class C3 of the catalogue. All are signed with the key of the running system.

What remains are questions that only its objects can answer; those rows say `reads`.
"""

import uuid
from typing import Any

from tallystick.pairing.domain.names import pairing_token_id
from tallystick.schema.times import rfc3339
from tests.harness.attacks import EVERYWHERE, Case, Expected, Place, Verdict, Victim, refused
from tests.harness.forged_tokens import ABSENT, Forge, as_bytes
from tests.harness.pairing_site import REVOKED_TEXT
from tests.live.attacks.attack_token_forms import LONG_LINE, too_long

REQUIRED = ("iss", "sub", "aud", "scope", "iat", "exp", "jti", "ext", "tallystick")
DAY = 86_400
# The right-to-left override turns what follows around on a screen.
RTL = "\N{RIGHT-TO-LEFT OVERRIDE}"


def _claim(name: str, what: str, value: Any) -> Case:
    return Case(f"{name} {what}", lambda f: f.with_claims(**{name: value}))


def _raw(name: str, what: str, text: str) -> Case:
    """A claim whose value is this text, which Python's own writer of JSON would not write."""
    return Case(f"{name} {what}", lambda f: f.with_raw_claim(name, text))


def _member(name: str, what: str, value: Any) -> Case:
    return Case(f"{name} {what}", lambda f: f.about(**{name: value}))


def _twice(name: str) -> Case:
    """A name that occurs twice, with a good value each time (RFC 8725 2.4)."""

    def build(forge: Forge) -> str:
        payload = as_bytes(forge.claims)
        return forge.with_parts(forge.header, payload[:-1] + b"," + as_bytes({name: forge.claims[name]})[1:])

    return Case(f"{name} twice", build)


def _text(name: str, what: str, change: Any) -> Case:
    """A claim whose text is changed by a function."""
    return Case(f"{name} {what}", lambda f: f.with_claims(**{name: change(f.claims[name])}))


def _lifetime(what: str, issued: int, expires: int) -> Case:
    """Times relative to the forge's now."""
    return Case(what, lambda f: f.with_claims(iat=f.now + issued, exp=f.now + expires))


def _expired(victim: Victim) -> Expected:
    """The one thing that a holder is told of a token that was good: when it ended."""
    forge = victim.pairing
    return refused(f"pairing token {forge.claims['jti']} expired at {rfc3339(forge.time)}")


def _superseded(victim: Victim) -> Expected:
    return refused(REVOKED_TEXT.format(_id_of_serial(victim.pairing, 2)))


def _id_of_serial(forge: Forge, serial: int) -> str:
    return pairing_token_id(forge.claims["tallystick"]["uid"], serial)


def _of_serial(forge: Forge, serial: int) -> str:
    thing = {**forge.claims["tallystick"], "serial": serial}
    return forge.with_claims(tallystick=thing, jti=_id_of_serial(forge, serial))


def _of_uid(forge: Forge, uid: str, **changes: Any) -> str:
    """All that follows from a uid, derived as the system derives it."""
    thing = {**forge.claims["tallystick"], "uid": uid, **changes}
    return forge.with_claims(tallystick=thing, jti=pairing_token_id(uid, 1))


def _nested(depth: int) -> str:
    return "[" * depth + "]" * depth


PARTIES = [
    *(_claim(name, "missing", ABSENT) for name in REQUIRED),
    *(_claim(name, "null", None) for name in REQUIRED),
    _text("aud", "in a list of one", lambda ours: [ours]),
    _text("aud", "in a list with another", lambda ours: ["https://other.example", ours]),
    _claim("aud", "other", "https://other.example"),
    _claim("aud", "empty", ""),
    _claim("aud", "an empty list", []),
    _text("aud", "prefix", lambda ours: ours[:-1]),
    _text("aud", "longer", lambda ours: f"{ours}.evil.example"),
    _text("aud", "in upper case", str.upper),
    _text("aud", "with a trailing slash", lambda ours: f"{ours}/"),
    _text("aud", "with a look-alike dot", lambda ours: ours.replace(".", "\N{FULLWIDTH FULL STOP}")),
    _claim("iss", "other", "https://other.example"),
    _text("iss", "prefix", lambda ours: ours[:-1]),
    _text("iss", "suffix", lambda ours: ours[8:]),
    _text("iss", "longer", lambda ours: f"{ours}/tenant"),
    _text("iss", "in upper case", str.upper),
    _text("iss", "in a list", lambda ours: [ours]),
    _claim("sub", "empty", ""),
    _claim("sub", "a number", 1),
    _claim("sub", "with a line break", "system:serviceaccount\n"),
    _claim("sub", "with right-to-left", f"system{RTL}"),
]

_END: dict[Place, Verdict] = {**EVERYWHERE, Place.TOKEN: _expired}

TIMES = [
    Case("exp now", lambda f: f.with_claims(iat=f.now - 300, exp=f.now), _END),
    _lifetime("exp = iat", -1, -1),
    _lifetime("exp < iat", 0, -60),
    _lifetime("exp after more than a day", 0, DAY + 1),
    _lifetime("exp in 100 years", 0, 36_525 * DAY),
    _lifetime("iat in the future", DAY // 2, DAY // 2 + 60),
    _claim("exp", "a string", "9999999999"),
    _claim("exp", "negative", -1),
    _claim("exp", "true", True),
    _claim("exp", "in a list", [9_999_999_999]),
    _claim("exp", "2^63", 2**63),
    _claim("exp", "2^31 - 1, milliseconds later", 2_147_483_647_000),
    _raw("exp", "a fraction", "9999999999.0"),
    _raw("exp", "with an exponent", "1e10"),
    _raw("exp", "Infinity", "Infinity"),
    _raw("exp", "NaN", "NaN"),
    _raw("exp", "1e400", "1e400"),
    _raw("exp", "-0", "-0"),
    _raw("exp", "with leading zeros", "00009999999999"),
    _raw("exp", "of 5,000 digits", "9" * 5_000),
    _raw("iat", "of 5,000 digits", "9" * 5_000),
    _raw("iat", "NaN", "NaN"),
    _claim("iat", "negative", -1),
    _claim("iat", "a string", "0"),
    Case("nbf in the future", lambda f: f.with_claims(nbf=f.now + 60)),
    Case("nbf in the past", lambda f: f.with_claims(nbf=f.now - 60)),
]

IDENTIFIERS = [
    _claim("jti", "empty", ""),
    _claim("jti", "a number", 1),
    _claim("jti", "of 65 characters", "x" * 65),
    Case("jti of 8 KiB", lambda f: f.with_claims(jti="x" * 8192), LONG_LINE),
    too_long("jti of 1 MB", lambda f: f.with_claims(jti="x" * 10**6)),
    _text("jti", "with NUL", lambda ours: f"{ours}\0"),
    _text("jti", "with right-to-left", lambda ours: f"{RTL}{ours}"),
    _text("jti", "with a blank", lambda ours: f"{ours} "),
    _text("jti", "in a list", lambda ours: [ours]),
    *(_twice(name) for name in ("jti", "exp", "aud", "iss", "tallystick")),
    Case("jti of another token", lambda f: f.with_claims(jti=str(uuid.uuid4())), reads=True),
    Case("jti in upper case", lambda f: f.with_claims(jti=f.claims["jti"].upper()), reads=True),
    Case("jti of another serial", lambda f: f.with_claims(jti=_id_of_serial(f, 2)), reads=True),
]

OBJECTS = [
    _member("uid", "empty", ""),
    _member("uid", "a number", 1),
    _member("ns", "a path", "../kube-system"),
    _member("ns", "empty", ""),
    _member("ns", "with a look-alike", "sit\N{CYRILLIC SMALL LETTER IE}"),
    _member("name", "a path", "site-a/status"),
    _member("name", "a query", "site-a?watch=1"),
    _member("name", "of dots", ".."),
    _member("name", "of 64 characters", "x" * 64),
    _member("kind", "MasterToken", "MasterToken"),
    _member("kind", "Secret", "Secret"),
    _member("serial", "0", 0),
    _member("serial", "negative", -1),
    _member("serial", "2^31", 2**31),
    _member("serial", "a string", "1"),
    _member("serial", "true", True),
    _member("serial", "missing", ABSENT),
    _member("deployment_type", "of another kind", "Kubernetes"),
    Case("uid of nobody", lambda f: f.about(uid=str(uuid.uuid4())), reads=True),
    Case("uid of nobody, and its jti", lambda f: _of_uid(f, str(uuid.uuid4())), reads=True),
    Case("uid that is no UUID", lambda f: f.about(uid="x"), reads=True),
    Case("ns of another namespace", lambda f: f.about(ns="kube-system"), reads=True),
    Case("ns that does not exist", lambda f: f.about(ns="nowhere"), reads=True),
    Case("name of an object that never was", lambda f: _of_uid(f, str(uuid.uuid4()), name="never"), reads=True),
    Case(
        "serial of the future, and its jti",
        lambda f: _of_serial(f, 2),
        {**EVERYWHERE, Place.TOKEN: _superseded},
        reads=True,
    ),
    Case("serial of the future alone", lambda f: f.about(serial=2), reads=True),
]

SHAPES = [
    _claim("deploymentType", "of another kind", "Kubernetes"),
    _claim("act", "of somebody", {"sub": "somebody else"}),
    _claim("cnf", "of a stranger", {"jkt": "x" * 43}),
    _claim("something", "unknown", 1),
    _claim("\N{CYRILLIC SMALL LETTER IE}xp", "beside exp", 9_999_999_999),
    _claim("ext", "empty", {}),
    Case(
        "ext without revocable",
        lambda f: f.with_claims(ext={n: v for n, v in f.claims["ext"].items() if n != "revocable"}),
    ),
    Case("ext not revocable", lambda f: f.with_claims(ext={**f.claims["ext"], "revocable": False})),
    Case("ext with more", lambda f: f.with_claims(ext={**f.claims["ext"], "more": 1})),
    _claim("scope", "empty", ""),
    _claim("scope", "a list", ["mission-control:admin"]),
    _claim("scope", "with a quote", 'a"b'),
    _raw("something", "nested 2,500 deep", _nested(2_500)),
    Case("nested 4,000 deep", lambda f: f.with_raw_claim("something", _nested(4_000)), LONG_LINE),
    too_long("nested 100,000 deep", lambda f: f.with_raw_claim("something", _nested(100_000))),
    Case("payload with a byte order mark", lambda f: f.with_parts(f.header, b"\xef\xbb\xbf" + as_bytes(f.claims))),
    Case("payload in UTF-16", lambda f: f.with_parts(f.header, as_bytes(f.claims).decode().encode("utf-16"))),
    Case("payload with more behind", lambda f: f.with_parts(f.header, as_bytes(f.claims) + b"{}")),
    Case("payload in a list", lambda f: f.with_parts(f.header, b"[" + as_bytes(f.claims) + b"]")),
    Case("payload null", lambda f: f.with_parts(f.header, b"null")),
    Case("payload empty object", lambda f: f.with_parts(f.header, b"{}")),
    Case("payload not UTF-8", lambda f: f.with_parts(f.header, b'{"iss":"\xff"}')),
    Case("payload with a lone surrogate", lambda f: f.with_raw_claim("sub", '"\\ud800"')),
]

ALL = [*PARTIES, *TIMES, *IDENTIFIERS, *OBJECTS, *SHAPES]
