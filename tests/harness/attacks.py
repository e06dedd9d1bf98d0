"""Attacks on a running exchange as rows of a table: what is sent where, and the exact answer."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from urllib3 import HTTPHeaderDict
from urllib3.exceptions import HTTPError

from tests.harness.exchange import GRANT, JWT_TYPE, Exchange, HttpAnswer
from tests.harness.forged_tokens import Forge
from tests.harness.pairing_site import INVALID_TEXT, VERIFIER, Site
from tests.harness.system import System

Json = dict[str, Any]

FORM = "application/x-www-form-urlencoded"
# A source may fail twenty times at once before it is slowed down (429), and an approved caller, too. Each sends fewer
# requests than that, so no answer depends on how fast the machine is.
_FAILURES_OF_A_SOURCE = 15
_MOST_KEPT = 4096


class Place(StrEnum):
    """Where a token is presented."""

    TOKEN = "subject_token"
    INTROSPECT = "introspected"
    BEARER = "bearer"
    REVOKE = "revoked"


@dataclass(frozen=True, slots=True)
class Expected:
    """An exact answer. A body of {} is an empty one."""

    status: int
    body: Json
    challenge: str | None = None
    retry_after: str | None = None


def refused(description: str, *, code: str = "invalid_request", status: int = 400) -> Expected:
    return Expected(status, {"error": code, "error_description": description})


def unavailable(description: str) -> Expected:
    body = {"error": "temporarily_unavailable", "error_description": description}
    return Expected(503, body, retry_after="1")


_CALLER_TEXT = "authenticate with a bearer token of a ServiceAccount whose audience is the issuer"

INVALID = refused(INVALID_TEXT)  # RFC 8693 2.2.2: `invalid_request`, not `invalid_grant`
INACTIVE = Expected(200, {"active": False})  # RFC 7662 2.2: whatever is wrong with it
NOT_A_CALLER = Expected(  # RFC 7662 2.3, RFC 6750 3
    401, {"error": "invalid_token", "error_description": _CALLER_TEXT}, challenge='Bearer error="invalid_token"'
)
NO_ONE = Expected(401, NOT_A_CALLER.body, challenge="Bearer")  # RFC 6750 3.1: no code where nothing was tried
NOTHING = Expected(200, {})  # RFC 7009 2.2: an invalid token is no error
NO_PROOF = refused("the DPoP proof is not valid", code="invalid_dpop_proof")  # RFC 9449 5
TOO_LARGE = refused("the body is larger than 64 KiB", status=413)
NO_HTTP = refused("the request is not valid HTTP/1.1")
NO_FORM = refused("the body must be application/x-www-form-urlencoded, without a content encoding", status=415)

EVERYWHERE: Mapping[Place, Expected] = {
    Place.TOKEN: INVALID,
    Place.INTROSPECT: INACTIVE,
    Place.BEARER: NOT_A_CALLER,
    Place.REVOKE: NOTHING,
}
"""What is said of a token that is none."""


# RFC 6749 5.2: what an error_description is made of.
_DESCRIPTION = re.compile(r"[ -!#-\[\]-~]*")


def answered(answer: HttpAnswer) -> Expected:
    """Read an answer as the table writes it, and check what holds for each one."""
    said = answer.headers
    assert answer.status, "the connection ended without an answer"
    assert _DESCRIPTION.fullmatch(answer.description), "RFC 6749 5.2: the description has other characters"
    assert said.get("Cache-Control") == "no-store", "RFC 6749 5.1: a cache may keep the answer"
    assert said.get("X-Content-Type-Options") == "nosniff", "a browser may guess the type of the answer"
    if answer.body:
        media_type = said.get("Content-Type", "").partition(";")[0]
        assert media_type == "application/json", "RFC 6749 5.2, RFC 7662 2.2: the body is not JSON"
    else:
        assert said.get("Content-Length") == "0", "the answer has a body that is no JSON object"
    body = {**answer.body, "access_token": "(a token)"} if "access_token" in answer.body else dict(answer.body)
    return Expected(answer.status, body, said.get("WWW-Authenticate"), said.get("Retry-After"))


class GoodCallers:
    """Bearers that may introspect in a namespace: a new one before the last one has failed too often.

    Attributes:
        issued: all of them.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._attacks = 0
        self.issued: list[str] = []

    def next(self) -> str:
        """Return a bearer for one more attack."""
        if self._attacks % _FAILURES_OF_A_SOURCE == 0:
            fresh = self._site.api.request_token(self._site.namespace, VERIFIER, self._site.exchange.issuer)
            assert fresh not in self.issued, "the exchange counts failures by bearer"
            self.issued.append(fresh)
        self._attacks += 1
        return self.issued[-1]


@dataclass(slots=True)
class Victim:
    """A namespace under attack.

    Attributes:
        pairing: makes bad tokens of a good pairing token, which nobody has redeemed.
        master: makes bad tokens of a master token that is in force.
        spare: other good tokens, by what has become of them.
        callers: the callers of the attacks that need a good one.
        sent: every text that was presented as a token; the beginning of those that are very long.
    """

    site: Site
    pairing: Forge
    master: Forge
    spare: Mapping[str, Any] = field(repr=False)
    callers: GoodCallers = field(repr=False)
    sent: list[str] = field(default_factory=list, repr=False)

    def note(self, text: str) -> None:
        self.sent.append(text[:_MOST_KEPT])


Send = Callable[[Victim, Exchange], HttpAnswer]
Verdict = Expected | Callable[[Victim], Expected]


class Row(NamedTuple):
    """One attack.

    Attributes:
        id: what is sent; rows of the same id send the same, elsewhere.
        where: where that is, for those that have more than one place.
        reads: it gets as far as the API server: its signature is good, and so are all of its claims in themselves.
    """

    id: str
    send: Send
    expected: Verdict
    reads: bool = False
    where: str = ""

    def difference(self, victim: Victim, client: Exchange) -> str:
        """Send the attack. Describe how the answer differs from the expected one; empty if it does not differ."""
        name = f"{self.id}, {self.where}" if self.where else self.id
        try:
            found = answered(self.send(victim, client))
            expected = self.expected if isinstance(self.expected, Expected) else self.expected(victim)
        except (AssertionError, HTTPError) as error:
            return f"{name}: {type(error).__name__}: {error}"
        return "" if found == expected else f"{name}: expected {expected}, found {found}"


class Case(NamedTuple):
    """A bad token.

    Attributes:
        build: makes it.
        other: where the answer is not that of EVERYWHERE.
        reads: as in Row.
        not_at: where it cannot be presented, and why.
    """

    id: str
    build: Callable[[Forge], str]
    other: Mapping[Place, Verdict] = {}
    reads: bool = False
    not_at: Mapping[Place, str] = {}


def rows_of(kind: str, case: Case, *places: Place) -> Iterator[Row]:
    """Make a row of each place at which a bad token can be presented; `kind` is `pairing` or `master`."""
    for place in places or Place:
        if place in case.not_at:
            continue
        expected = case.other.get(place, EVERYWHERE[place])
        reads = case.reads or place is Place.BEARER  # whose signature only the API server can judge
        yield Row(f"{case.id}, {kind}", _presented(kind, case, place), expected, reads, place)


def _presented(kind: str, case: Case, place: Place) -> Send:
    def send(victim: Victim, client: Exchange) -> HttpAnswer:
        forge: Forge = victim.pairing if kind == "pairing" else victim.master
        return present(victim, client, case.build(forge), place)

    return send


def present(victim: Victim, client: Exchange, text: str, place: Place) -> HttpAnswer:
    """Present a text as a token."""
    victim.note(text)
    match place:
        case Place.TOKEN:
            return client.redeem(text)
        case Place.INTROSPECT:
            return client.introspect(text, victim.callers.next())
        case Place.BEARER:
            # As UTF-8 where it is not ASCII; http.client writes each character as one octet.
            return client.introspect(victim.pairing.token, text.encode().decode("latin-1"))
        case Place.REVOKE:
            return client.revoke(text)


def redemption(token: str) -> list[tuple[str, str]]:
    """The form of a redemption, for those who add to it."""
    return [("grant_type", GRANT), ("subject_token", token), ("subject_token_type", JWT_TYPE)]


def send_form(
    client: Exchange, path: str, form: list[tuple[str, str]], headers: Mapping[str, str] | None = None
) -> HttpAnswer:
    """Send a form whose parameters may repeat, and headers that may."""
    shown = HTTPHeaderDict(headers or {})
    shown["Content-Type"] = FORM
    return client._send("POST", path, urlencode(form).encode(), shown)


class Sources:
    """Clients of the system's exchange: a new source before the last one has failed too often."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._stack = ExitStack()
        self._client: Exchange | None = None
        self._attacks = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def next(self) -> Exchange:
        """Return a client for one more attack."""
        if self._client is None or self._attacks % _FAILURES_OF_A_SOURCE == 0:
            self._stack.close()
            self._client = self._stack.enter_context(self.fresh())
        self._attacks += 1
        return self._client

    @contextmanager
    def fresh(self) -> Iterator[Exchange]:
        up = self._system.up
        with Exchange.connect(up.url, issuer=up.url, ca_file=up.ca_file, clock=self._system.clock) as client:
            yield client
