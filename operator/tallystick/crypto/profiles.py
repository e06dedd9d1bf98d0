"""The profiles of our tokens: which claims each kind has, exactly, and how long it may live.

A profile is the same for the signer and for the verifier, so nothing is signed that would then be refused.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any

Check = Callable[[Any], bool]

# The last second that a datetime can hold (9999-12-31T23:59:59Z).
_LAST_SECOND = 253_402_300_799
_MAX_SERIAL = 1_000_000_000
_MAX_AUDIENCES = 16
# What Kubernetes' regular expressions call \p{C} (S28); unlike Unicode's C, it has no unassigned characters.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Co", "Cs"})


def _text(limit: int) -> Check:
    def check(value: Any) -> bool:
        if not isinstance(value, str) or not 0 < len(value) <= limit:
            return False
        if value.isascii():
            return value.isprintable()
        return all(unicodedata.category(character) not in _UNPRINTABLE for character in value)

    return check


def _matching(pattern: str) -> Check:
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _integer(lowest: int, highest: int) -> Check:
    # `type`, because Python's booleans are integers and JSON's are not.
    return lambda value: type(value) is int and lowest <= value <= highest


def _exactly(constant: str) -> Check:
    return lambda value: isinstance(value, str) and value == constant


def _is_true(value: Any) -> bool:
    return value is True


_uri = _text(2048)
_seconds = _integer(0, _LAST_SECOND)
_identifier = _matching(r"[!-~]{1,64}")
_object_name = _matching(r"[a-z0-9](?:[-.a-z0-9]{0,61}[a-z0-9])?")
_thumbprint = _matching(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
# RFC 6749 3.3; sixteen scopes of 128 characters with their blanks.
_scope = _matching(r"(?=.{1,2063}\Z)[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")


def _one_or_many_uris(value: Any) -> bool:
    if not isinstance(value, list):
        return _uri(value)
    # RFC 7519 4.1.3 lets one audience be a text or a list; we know it as a text only, so that it has one spelling.
    return 1 < len(value) <= _MAX_AUDIENCES and all(map(_uri, value)) and len(set(value)) == len(value)


@dataclass(frozen=True, slots=True)
class Members:
    """The members of a JSON object, by name: those that must be there and those that may. There are no others."""

    required: Mapping[str, Check]
    optional: Mapping[str, Check] = field(default_factory=dict)

    def __call__(self, value: Any) -> bool:
        """Check a value that must be such an object."""
        return isinstance(value, dict) and self.first_wrong(value) is None

    def first_wrong(self, members: Mapping[str, Any]) -> str | None:
        """Name a member that is missing, wrong or (as `unknown`) not ours; None when all is well."""
        for name, check in self.required.items():
            if name not in members or not check(members[name]):
                return name
        for name, value in members.items():
            if name in self.required:
                continue
            if name not in self.optional:
                return "unknown"
            if not self.optional[name](value):
                return name
        return None


@dataclass(frozen=True, slots=True)
class Profile:
    """What a token of one `typ` is like.

    A `max_lifetime` of None means that the token has no `exp`. With `many_audiences`, `aud` may be a list, and a
    verifier that is not itself an audience (the issuer, at introspection) may leave it uncompared.
    """

    typ: str
    claims: Members
    max_lifetime: timedelta | None
    many_audiences: bool = False

    def first_wrong(self, claims: Mapping[str, Any]) -> str | None:
        """Name the first claim that is not as it must be; None when all are."""
        wrong = self.claims.first_wrong(claims)
        if wrong or self.max_lifetime is None:
            return wrong
        lifetime = claims["exp"] - claims["iat"]
        return None if 0 < lifetime <= self.max_lifetime.total_seconds() else "exp"


def _common(audience: Check) -> dict[str, Check]:
    return {"iss": _uri, "sub": _text(1024), "aud": audience, "iat": _seconds, "jti": _identifier}


def _object(kind: str) -> dict[str, Check]:
    return {"kind": _exactly(kind), "ns": _object_name, "name": _object_name, "uid": _identifier}


_serial = _integer(1, _MAX_SERIAL)

PAIRING = Profile(
    typ="pairing+jwt",
    claims=Members(
        required={
            **_common(_uri),
            "exp": _seconds,
            "scope": _scope,
            "ext": Members(
                required={"base_url": _uri, "exchange_url": _uri, "revocable": _is_true},
                optional={"pairing_url": _uri},
            ),
            "tallystick": Members(required={**_object("PairingToken"), "serial": _serial}),
        },
    ),
    max_lifetime=timedelta(hours=24),
)

MASTER = Profile(
    typ="at+jwt",
    claims=Members(
        required={
            **_common(_one_or_many_uris),
            "exp": _seconds,
            "scope": _scope,
            "tallystick": Members(required=_object("MasterToken"), optional={"serial": _serial}),
        },
        optional={"cnf": Members(required={"jkt": _thumbprint})},
    ),
    max_lifetime=timedelta(days=3653),
    many_audiences=True,
)

PROFILES: Mapping[str, Profile] = MappingProxyType({profile.typ: profile for profile in (PAIRING, MASTER)})
