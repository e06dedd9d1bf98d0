"""Traffic that needs the signing keys all the time: issue, redeem, ask again, introspect, verify offline.

Every worker fails at the first valid token that somebody refuses. Time moves only as the test moves it.
"""

import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from tallystick.crypto.keys import SigningKey, VerifyingKey, verifying_keys
from tallystick.crypto.tokens import verify
from tallystick.registry import TOKEN_TYPES
from tests.harness.api import Api
from tests.harness.exchange import Exchange
from tests.harness.objects import read_token
from tests.harness.pairing_site import Site
from tests.harness.processes import poll
from tests.harness.system import System

PROFILES = {token_type.profile.typ: token_type.profile for token_type in TOKEN_TYPES}
JWKS = "/.well-known/jwks.json"
# A token this near to its end is not asked about: its last second may pass between the question and the answer.
MARGIN = timedelta(seconds=60)
LOOKED_AT = 2
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class OfflineVerifier:
    """Whoever verifies with the JWKS alone, and fetches it again only when `Cache-Control` says that it is too old."""

    exchange: Exchange
    fetched: int = 0
    _keys: dict[str, VerifyingKey] = field(default_factory=dict)
    _until: datetime = LONG_AGO
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def verify(self, token: str) -> None:
        """Fail where the token is not good by the keys that are at hand."""
        read = read_token(token)
        with self._lock:
            self._refresh()
            assert read.header["kid"] in self._keys, f"key {read.header['kid']} signs and could not be known yet"
            verify(
                token,
                self._keys,
                profile=PROFILES[read.header["typ"]],
                issuer=self.exchange.issuer,
                audience=read.claims["aud"],
                now=self.exchange.clock.now(),
            )

    def _refresh(self) -> None:
        # As of when it was asked for: what comes later can only be newer.
        now = self.exchange.clock.now()
        if now < self._until:
            return
        answer = self.exchange.get(JWKS)
        found = re.search(r"max-age=(\d+)", answer.headers["Cache-Control"])
        assert found, "the JWKS says how long it may be kept"
        self._keys = verifying_keys(answer.must_succeed())
        self._until = now + timedelta(seconds=int(found[1]))
        self.fetched += 1


@dataclass(frozen=True, slots=True)
class Known:
    """A token that is valid until its `exp`, because nobody ends it before."""

    token: str
    expires: datetime
    kid: str

    @classmethod
    def of(cls, token: str) -> "Known":
        read = read_token(token)
        return cls(token, datetime.fromtimestamp(read.claims["exp"], UTC), read.header["kid"])


@dataclass(frozen=True, slots=True)
class Paired:
    """A pairing token that was redeemed with a key: the same client gets the same answer until its expiry."""

    pairing: Known
    key: SigningKey
    master: str


@dataclass(slots=True)
class Traffic:
    """All that the workers know and count."""

    valid: list[Known] = field(default_factory=list)
    paired: list[Paired] = field(default_factory=list)
    verifiers: list[OfflineVerifier] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("issued", "redeemed"), 0))
    _workers: list["Future[None]"] = field(default_factory=list)
    _working: list[threading.Lock] = field(default_factory=list)
    _may_go: threading.Event = field(default_factory=threading.Event)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str, by: int = 1) -> None:
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + by

    def take(self, token: str) -> Known:
        """A new token: every verifier can verify it at once, and it is valid from now on."""
        for verifier in tuple(self.verifiers):
            verifier.verify(token)
        self.count("verified offline", len(self.verifiers))
        known = Known.of(token)
        self.valid.append(known)
        return known

    def signers(self) -> set[str]:
        """The keys that have signed."""
        return {known.kid for known in tuple(self.valid)}

    def has_signed(self, key_id: str) -> bool:
        return key_id in self.signers()

    def go_on(self) -> None:
        """Return once each worker has made another turn; raise what has failed in one of them."""
        before = tuple(self.turns)
        poll(lambda: self._failed() or all(now > then for now, then in zip(self.turns, before, strict=True)))
        for worker in self._workers:
            if worker.done():
                worker.result()

    def _failed(self) -> bool:
        return any(worker.done() for worker in self._workers)

    def start(self, pool: ThreadPoolExecutor, work: Callable[[int], None]) -> None:
        """Repeat a piece of work, which is told how often it was done, until the end."""
        number = len(self.turns)
        self.turns.append(0)
        self._working.append(working := threading.Lock())
        self._may_go.set()

        def run() -> None:
            while not self._stop.is_set():
                self._may_go.wait()
                with working:
                    work(self.turns[number])
                self.turns[number] += 1

        self._workers.append(pool.submit(run))

    def stop(self) -> None:
        self._stop.set()
        self._may_go.set()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nobody asks anything inside the block."""
        self._may_go.clear()
        with ExitStack() as stack:
            for working in self._working:
                stack.enter_context(working)
            yield
        self._may_go.set()


@contextmanager
def traffic(system: System, site: Site, replicas: Sequence[str]) -> Iterator[Traffic]:
    """Run two workers that pair and one for each replica that asks; the end of the block ends them."""
    flow = Traffic()
    up, names = system.up, itertools.count(1)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(2 + len(replicas)))
        for number in range(2 + len(replicas)):
            api = stack.enter_context(Api.connect(system.plane.kubeconfig, system.plane.binaries.kubectl))
            client = stack.enter_context(
                Exchange.connect(up.url, issuer=up.url, ca_file=up.ca_file, clock=system.clock)
            )
            own = replace(site, api=api, exchange=client)
            if number < len(replicas):
                asked = replace(own, exchange=client.at(replicas[number]))
                flow.start(pool, partial(_ask, flow, asked))
            else:
                flow.start(pool, partial(_pair, flow, own, replicas, names))
        stack.callback(flow.stop)
        yield flow


def _pair(flow: Traffic, site: Site, replicas: Sequence[str], numbers: "itertools.count[int]", _turn: int) -> None:
    """Issue a token. One of three waits for its client; of the others every second is bound to a key."""
    number = next(numbers)
    token = site.issue(f"traffic-{number}", ttl="24h")
    flow.count("issued")
    if number % 3 == 0:
        flow.take(token)
        return
    pairing = Known.of(token)
    key = SigningKey.generate("ES256") if number % 2 else None
    client = site.exchange.at(replicas[number % len(replicas)])
    master = client.redeem(token, key=key).must_succeed()["access_token"]
    flow.count("redeemed")
    flow.take(master)
    if key is not None:
        flow.paired.append(Paired(pairing, key, master))


def _ask(flow: Traffic, site: Site, turn: int) -> None:
    """Ask one replica about the oldest, the newest and some others of the tokens; all are valid."""
    soon = site.exchange.clock.now() + MARGIN
    valid = [known for known in tuple(flow.valid) if known.expires > soon]
    paired = [one for one in tuple(flow.paired) if one.pairing.expires > soon]
    for known in _some(valid, turn):
        assert site.is_active(known.token), f"a valid token of key {known.kid} is refused"
        flow.count("introspected")
    for one in _some(paired, turn)[:LOOKED_AT]:
        again = site.exchange.redeem(one.pairing.token, key=one.key)
        assert again.status == 200, f"who asks again is refused ({again.body}); key {one.pairing.kid}"
        assert again.body["access_token"] == one.master, "who asks again gets another token"
        flow.count("asked again")
    if not valid:
        time.sleep(0.02)  # the load itself rests: there is no token to ask about yet


def _some(found: Sequence[Any], turn: int) -> list[Any]:
    chosen = [*range(LOOKED_AT), *range(len(found) - LOOKED_AT, len(found)), *(turn * 7 + n for n in range(LOOKED_AT))]
    return [found[index % len(found)] for index in dict.fromkeys(chosen)] if found else []
