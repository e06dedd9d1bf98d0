"""The settings of schemathesis for the exchange: where to ask from, what to send beside made-up values, what to check.

Loaded by schemathesis in its own process (`fuzzing.py`); no test imports it.
"""

import atexit
import itertools
import json
import os
import random
import re
import uuid
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import requests.sessions
import schemathesis
from requests.adapters import HTTPAdapter

from tallystick.crypto.dpop import make_proof
from tallystick.crypto.keys import SigningKey
from tallystick.exchange.app import api_of
from tallystick.exchange.openapi import openapi_text
from tallystick.exchange.requests import INVALID_BEARER, SCOPE
from tallystick.pairing.web.token_endpoint import LONGEST_AUDIENCE
from tallystick.registry import FEATURES
from tests.harness.clock import MovedClock

LIVE = json.loads(Path(os.environ["FUZZ_LIVE"]).read_text())
CLOCK = MovedClock(Path(LIVE["clock"]))
KEY = SigningKey.generate("ES256")
HEARTBEAT = "/v1/connections/{namespace}/{name}/heartbeat"
POSTED = ("/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", HEARTBEAT)
# A source may fail 20 times at once and 5 times a second. On Linux all of 127.0.0.0/8 is this machine.
SOURCES = [f"127.7.0.{number}" for number in range(1, 201)]
# Shorter values are found in any text by chance.
LONG_ENOUGH = 8
# Our own words may contain a short text that was sent, such as `Bearer e` in the challenge.
OURS = openapi_text(api_of(feature.api for feature in FEATURES)) + INVALID_BEARER
PLAIN_NAME = re.compile(r"[A-Za-z0-9_.:~-]{1,64}")
# Not of the use case, and in no form that a wish may have.
WRONG_WISHES = {
    "scope": ["mission-control:root", 'mission-control:"root"'],
    "audience": ["https://elsewhere.example", "x" * (LONGEST_AUDIENCE + 1)],
    "resource": ["https://elsewhere.example", "x" * (LONGEST_AUDIENCE + 1)],
}

_sources = itertools.cycle(SOURCES)
_answers: defaultdict[str, Counter[int]] = defaultdict(Counter)
_codes: Counter[str] = Counter()


class _ManySources(HTTPAdapter):
    """Sends each request from the next source, over that source's own connection."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__(pool_connections=len(SOURCES))

    def build_connection_pool_key_attributes(self, *request: Any, **options: Any) -> Any:
        host, pool = super().build_connection_pool_key_attributes(*request, **options)
        return host, {**pool, "source_address": (next(_sources), 0)}


# Schemathesis makes its session itself, and a session its adapters.
requests.sessions.HTTPAdapter = _ManySources


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: schemathesis.Case, __: dict[str, Any]) -> None:
    """Give some requests what opens the inner doors; which ones depends on their content, so that they repeat."""
    if case.path not in POSTED or not isinstance(case.body, dict):
        return
    content = repr(sorted(case.body.items(), key=repr)).encode()
    choice = random.Random(zlib.crc32(content))  # noqa: S311 - nothing secret comes of it
    if case.path == HEARTBEAT:
        _at_home(case, choice)
        return
    name = "subject_token" if case.path == "/oauth2/token" else "token"
    if name in case.body and choice.random() < 0.8:
        # What is revoked cannot be redeemed any more: some are kept from it.
        tokens = LIVE["others"] if case.path == "/oauth2/revoke" else LIVE["redeemable"] + LIVE["others"]
        case.body[name] = choice.choice([*tokens, *LIVE["connections"].values()])
    if case.path == "/oauth2/introspect" and choice.random() < 0.8:
        case.headers["Authorization"] = f"Bearer {LIVE['bearer']}"
    if case.path == "/oauth2/token":
        _redeemable(case, choice)


def _at_home(case: schemathesis.Case, choice: random.Random) -> None:
    """Show most heartbeats with a token, and most of those at its own path; no made-up path has a token."""
    path, token = choice.choice(list(LIVE["connections"].items()))
    shown = choice.random()
    if shown < 0.8:
        case.headers["Authorization"] = f"Bearer {token if shown < 0.7 else choice.choice(LIVE['others'])}"
    if choice.random() < 0.8:
        case.path_parameters["namespace"], case.path_parameters["name"] = path.split("/")


def _redeemable(case: schemathesis.Case, choice: random.Random) -> None:
    """Hardly any made-up proof or wish is a good one: prove our key in some requests, and leave out wishes in some."""
    proves = choice.random()
    if proves < 0.6:
        now, identity = CLOCK.now(), str(uuid.uuid4())
        case.headers["DPoP"] = make_proof(KEY, method="POST", url=LIVE["token_url"], now=now, proof_id=identity)
    elif proves < 0.8:
        case.headers.pop("DPoP", None)
    for wish, wrong in WRONG_WISHES.items():
        wishes = choice.random()
        if wishes < 0.6:
            case.body.pop(wish, None)
        elif wishes < 0.75:
            case.body[wish] = choice.choice(wrong)


@schemathesis.hook
def after_call(_: schemathesis.HookContext, case: schemathesis.Case, response: schemathesis.Response) -> None:
    _answers[case.operation.label][response.status_code] += 1
    if response.status_code >= 400:
        _codes[_code_of(json.loads(response.content or b"{}"))] += 1


def _code_of(body: dict[str, str]) -> str:
    """The code of a refusal, whichever form it has: OAuth's, or that of a problem (RFC 9457)."""
    return body.get("error") or body.get("type", "").removeprefix("urn:problem:").replace("-", "_")


@atexit.register
def _write_counts() -> None:
    counts = {"answers": _answers, "codes": _codes}
    Path(os.environ["FUZZ_COUNTS"]).write_text(json.dumps(counts))


@schemathesis.check
def answer_is_not_stored(
    _: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """RFC 6749 5.1, RFC 7662 4: neither a token nor what is said of one stays in a cache; nor does any refusal."""
    if case.path in POSTED or response.status_code >= 400:
        assert response.headers.get("cache-control") == ["no-store"], "the answer may be stored"


@schemathesis.check
def answer_is_plain_text(_: schemathesis.CheckContext, response: schemathesis.Response, __: schemathesis.Case) -> None:
    """S28: nothing that a terminal or a browser would act on, and no word of how we are built."""
    text = response.content.decode("ascii")
    assert all(character.isprintable() or character == "\n" for character in text), "control characters"
    assert not any(word in text for word in ("Traceback", ".py", "aiohttp")), "the answer tells of the inside"
    assert "server" not in response.headers, "the answer names its server"


@schemathesis.check
def nothing_is_reflected(_: schemathesis.CheckContext, response: schemathesis.Response, __: schemathesis.Case) -> None:
    """A refusal is in our words. Two things are the exception: a scope that is refused, and a plain parameter name."""
    if response.status_code < 400:
        return
    said = [response.content.decode("latin-1"), *(value for values in response.headers.values() for value in values)]
    for value in _sent(response.request):
        reflected = len(value) >= LONG_ENOUGH and value not in OURS and any(value in text for text in said)
        assert not reflected, "the answer repeats what was sent"


def _sent(request: requests.PreparedRequest) -> Iterator[str]:
    """What a client chose, less the two exceptions."""
    body = request.body if isinstance(request.body, str) else bytes(request.body or b"").decode("latin-1")
    for name, value in parse_qsl(body):
        if not PLAIN_NAME.fullmatch(name):
            yield name
        if name != "scope" or not SCOPE.fullmatch(value):
            yield value
    yield from itertools.chain.from_iterable(parse_qsl((request.url or "").partition("?")[2]))
    yield from (_text(value) for name, value in request.headers.items() if name not in {"Content-Type", "Connection"})


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
