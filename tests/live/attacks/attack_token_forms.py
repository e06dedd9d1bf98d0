"""Bad tokens by their form: class C1 of the catalogue (encoding), and good tokens of another user or kind."""

import base64
import json
from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tallystick.crypto.keyring import Keyring
from tallystick.crypto.tokens import MAX_TOKEN_LENGTH, sign
from tallystick.registry import TOKEN_TYPES
from tests.harness.attacks import NO_HTTP, TOO_LARGE, Case, Place, Verdict, refused
from tests.harness.forged_tokens import ORDER, Forge, as_is, b64, by, other_last_bits, twin_of, unb64

PROFILES = {token_type.profile.typ: token_type.profile for token_type in TOKEN_TYPES}
# A header line has a limit of its own; longer ones are no HTTP for this server.
LONG_LINE: Mapping[Place, Verdict] = {Place.BEARER: NO_HTTP}
_TOO_LONG: Mapping[Place, Verdict] = dict.fromkeys((Place.TOKEN, Place.INTROSPECT, Place.REVOKE), TOO_LARGE)
_HANGS_UP = {Place.BEARER: "the server hangs up while such a header is being sent, and its answer may be lost"}
NOT_IN_A_HEADER = {Place.BEARER: "no client can send a line break within a header"}
BROKEN_IN_A_HEADER: Mapping[Place, Verdict] = {Place.BEARER: NO_HTTP}
MISSING: Mapping[Place, Verdict] = {
    Place.TOKEN: refused("subject_token is missing"),
    Place.INTROSPECT: refused("token is missing"),
    Place.REVOKE: refused("token is missing"),
}


def too_long(name: str, build: Callable[[Forge], str]) -> Case:
    """A token that is longer than a whole body may be."""
    return Case(name, build, _TOO_LONG, not_at=_HANGS_UP)


def _segments(forge: Forge, *numbers: int) -> str:
    """The segments of a token in another order or number; 3 is an empty one."""
    parts = (*forge.segments, "")
    return ".".join(parts[number] for number in numbers)


def _inside(forge: Forge, text: str) -> str:
    header, payload, signature = forge.segments
    return f"{header}.{payload[:40]}{text}{payload[40:]}.{signature}"


def _standard_alphabet(forge: Forge) -> str:
    """`+/` for `-_`, in a payload that is sure to have some; what is signed is the text as it stands."""
    payload = base64.b64encode(json.dumps({**forge.claims, "sub": "???>>>~~~"}).encode()).decode().rstrip("=")
    assert set(payload) & set("+/")
    return forge.with_texts(forge.segments[0], payload)


def _other_last_bits(bits: int) -> Callable[[Forge], str]:
    return lambda forge: other_last_bits(forge.token, bits)


def _spare_bits(forge: Forge, segment: int) -> str:
    """Header or payload with the unused bits of the last character set, signed as it stands."""
    texts = list(forge.segments[:2])
    raw = unb64(texts[segment])
    # A blank more is no change of the JSON, and where it is needed makes the last character have unused bits.
    texts[segment] = other_last_bits(b64(raw + b" " * (len(raw) % 3 == 0)), 1)
    return forge.with_texts(*texts)


def _json_serialisation(forge: Forge) -> str:
    header, payload, signature = forge.segments
    return json.dumps({"protected": header, "payload": payload, "signature": signature})


def _general_json(forge: Forge) -> str:
    header, payload, signature = forge.segments
    return json.dumps({"payload": payload, "signatures": [{"protected": header, "signature": signature}]})


def _of_length(forge: Forge, length: int) -> str:
    """A token that is good but for its length: properly signed, filled up by a claim."""
    bare = forge.with_claims(filler="")
    longer = forge.with_claims(filler="x" * ((length - len(bare)) * 3 // 4 + 8))
    assert len(longer) > length
    return longer


def _der(forge: Forge) -> bytes:
    r, s = forge.signature[:32], forge.signature[32:]
    return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))


ENCODINGS = [
    Case("padded with =", lambda f: f.token + "="),
    Case("padded with ==", lambda f: f.token + "=="),
    *(Case(f"unused bits of the signature {bits:02b}", _other_last_bits(bits)) for bits in (1, 2, 3)),
    Case("unused bits of the header", lambda f: _spare_bits(f, 0)),
    Case("unused bits of the payload", lambda f: _spare_bits(f, 1)),
    Case("the alphabet of base64", _standard_alphabet),
    # One more blank after the scheme is allowed: the bearer is then the token itself, which is no bearer either.
    Case("a blank before", lambda f: f" {f.token}"),
    Case("a blank behind", lambda f: f"{f.token} "),
    Case("a blank inside", lambda f: _inside(f, " ")),
    Case("a tab inside", lambda f: _inside(f, "\t")),
    Case("a line break before", lambda f: f"\r\n{f.token}", not_at=NOT_IN_A_HEADER),
    Case("a line break behind", lambda f: f"{f.token}\n", not_at=NOT_IN_A_HEADER),
    Case("a line break inside", lambda f: _inside(f, "\r\n"), not_at=NOT_IN_A_HEADER),
    Case("NUL behind", lambda f: f"{f.token}\0", BROKEN_IN_A_HEADER),
    Case("NUL inside", lambda f: _inside(f, "\0"), BROKEN_IN_A_HEADER),
    Case("one segment", lambda f: _segments(f, 0)),
    Case("two segments", lambda f: _segments(f, 0, 1)),
    Case("four segments", lambda f: _segments(f, 0, 1, 2, 2)),
    Case("five segments, as a JWE has", lambda f: _segments(f, 0, 1, 2, 1, 2)),
    Case("segments in another order", lambda f: _segments(f, 1, 0, 2)),
    Case("an empty header", lambda f: _segments(f, 3, 1, 2)),
    Case("an empty payload", lambda f: _segments(f, 0, 3, 2)),
    Case("an empty signature", lambda f: _segments(f, 0, 1, 3)),
    Case("dots alone", lambda _: ".."),
    Case("nothing", lambda _: "", MISSING),
    Case("JSON serialisation", _json_serialisation),
    Case("general JSON serialisation", _general_json),
    Case("UTF-16", lambda f: f.token.encode("utf-16").decode("latin-1"), BROKEN_IN_A_HEADER),
    Case("full-width dots", lambda f: f.token.replace(".", "\N{FULLWIDTH FULL STOP}")),
    Case("one letter full-width", lambda f: f"\N{FULLWIDTH LATIN SMALL LETTER E}{f.token[1:]}"),
    Case("a zero-width joiner", lambda f: _inside(f, "\N{ZERO WIDTH JOINER}")),
    Case("URL-encoded once more", lambda f: f.token.replace(".", "%2E")),
    Case("in quotes", lambda f: f'"{f.token}"'),
    Case("with its scheme", lambda f: f"Bearer {f.token}"),
    Case("twice, with a comma", lambda f: f"{f.token},{f.token}"),
    Case("in upper case", lambda f: f.token.upper()),
    Case("8 KiB and more", lambda f: _of_length(f, MAX_TOKEN_LENGTH), LONG_LINE),
    Case("16 KiB", lambda _: "x" * 16 * 1024, not_at=_HANGS_UP),
    too_long("64 KiB + 1", lambda _: "x" * (64 * 1024 + 1)),
    too_long("64 KiB and more, well signed", lambda f: _of_length(f, 64 * 1024)),
]

SIGNATURES = [
    Case("signature of zeros", lambda f: f.with_signature(bytes(64))),  # CVE-2022-21449
    Case("signature of r = 0", lambda f: f.with_signature(bytes(32) + f.signature[32:])),
    Case("signature of s = n", lambda f: f.with_signature(f.signature[:32] + ORDER.to_bytes(32, "big"))),
    Case("signature as DER", lambda f: f.with_signature(_der(f))),
    Case("signature cut by a byte", lambda f: f.with_signature(f.signature[:-1])),
    Case("signature longer by a byte", lambda f: f.with_signature(f.signature + b"\0")),
    Case("signature twice", lambda f: f.with_signature(f.signature * 2)),
    Case("signature reversed", lambda f: f.with_signature(f.signature[::-1])),
    Case("r and s exchanged", lambda f: f.with_signature(f.signature[32:] + f.signature[:32])),
    Case("twin of another signature", lambda f: f.with_claims(as_is(twin_of(f.signature)), serial=2)),
    Case("signature of another token", lambda f: f.with_claims(as_is(f.signature), sub="somebody else")),
    Case("another key pair under our kid", lambda f: f.with_header(by(f.stranger))),
    Case("another key pair under its own kid", lambda f: f.with_header(by(f.stranger), kid=f.stranger.key_id)),
]


def of_another_keyring(forge: Forge) -> str:
    """The same claims, of a second installation that calls itself by our name."""
    keyring = Keyring.first(forge.claims["iss"], forge.stranger, forge.time)
    return sign(forge.claims, profile=PROFILES[forge.header["typ"]], key=keyring.signing_key(forge.time))


FOREIGN = [
    Case("of a second keyring", of_another_keyring),
    Case(
        "of a second keyring and issuer",
        lambda f: f.with_claims(by(f.stranger), iss="https://other.example", aud="https://other.example"),
    ),
]
