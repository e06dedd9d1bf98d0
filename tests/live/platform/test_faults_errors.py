"""The API server answers 429, 409 and 500, is late, cuts watches and loses answers (F5 to F8, F26): nothing is lost."""

import collections
import inspect
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from tallystick.crypto.keys import SigningKey
from tallystick.install.installation import CONTROLLER, EXCHANGE, Installation
from tallystick.kube.client import KubeCluster
from tallystick.localplane.plane import ControlPlane
from tests.harness.audit_trail import Mark, Trail
from tests.harness.exchange import HttpAnswer
from tests.harness.fault_proxy import Asked, FaultProxy, Match, Passed, Rules, fault_proxy
from tests.harness.objects import secret_of, value_of
from tests.harness.own_system import OwnSystem
from tests.harness.pairing_site import Site
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.harness.system import running

Json = dict[str, Any]

FAULTY = Rules(share=0.1, statuses=(429, 409, 500), retry_after=1, delay=0.2)
USERS = {name: Installation().service_account(name) for name in (CONTROLLER, EXCHANGE)}
# What the work may cost of what it costs without faults, besides one more for each that was failed.
MOST = 1.2


@pytest.fixture(scope="module")
def proxy(vacant_plane: ControlPlane) -> Iterator[FaultProxy]:
    with fault_proxy(vacant_plane, seed=5) as running_proxy:
        yield running_proxy


@pytest.fixture(scope="module")
def own_system(
    vacant_plane: ControlPlane, proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnSystem]:
    """Controller and exchange, which reach the API server through the proxy alone."""
    with OwnSystem.of(running(vacant_plane, tmp_path_factory.mktemp("errors") / "up", between=proxy)) as whole:
        yield whole


@pytest.fixture
def make_own_site(own_system: OwnSystem, proxy: FaultProxy) -> Iterator[Callable[[], Site]]:
    """Namespaces of one's own, and at the end a proxy that does nothing."""
    yield partial(own_system.site, "errors")
    proxy.rules = Rules()


# One token in ten requests fails.


@dataclass
class Story:
    """Tokens that are issued, of each four of which one is redeemed with a key, one without, and one is revoked."""

    site: Site
    tokens: int
    answers: dict[str, list[HttpAnswer]] = field(default_factory=lambda: collections.defaultdict(list))

    @property
    def names(self) -> list[str]:
        return [f"site-{number:03}" for number in range(self.tokens)]

    @property
    def with_key(self) -> list[str]:
        return self.names[0::4]

    @property
    def without_key(self) -> list[str]:
        return self.names[1::4]

    @property
    def revoked(self) -> list[str]:
        return self.names[2::4]

    def tell(self) -> None:
        """Create all tokens at once, and then do with each what it is for."""
        for name in self.names:
            self.site.api.create(self.site.pairing_token(name)).must_succeed()
        poll(lambda: not self.waiting(), seconds=120.0)
        with ThreadPoolExecutor(8) as threads:
            for done in [threads.submit(self._use, name) for name in self.names]:
                done.result()

    def waiting(self) -> set[str]:
        found = self.site.api.find_all("PairingToken", self.site.namespace)
        return {one["metadata"]["name"] for one in found if one.get("status", {}).get("state", "Pending") == "Pending"}

    def _use(self, name: str) -> None:
        token = value_of(self.site.api.get(secret_of(self.site.pairing_token(name))), "token")
        key = SigningKey.generate("ES256")
        if name in self.with_key:
            self._ask(name, lambda: self.site.exchange.redeem(token, key=key))
        elif name in self.without_key:
            self._ask(name, lambda: self.site.exchange.redeem(token))
        elif name in self.revoked:
            self._ask(name, lambda: self.site.exchange.revoke(token))

    def _ask(self, name: str, ask: Callable[[], HttpAnswer]) -> None:
        """Ask until the answer is no 503, and not before it says so, as a good client does (RFC 9110 10.2.3)."""
        not_before = [0.0]

        def reported() -> bool:
            if time.monotonic() < not_before[0]:
                return False
            answer = ask()
            self.answers[name].append(answer)
            not_before[0] = time.monotonic() + float(answer.headers.get("Retry-After", 0))
            return answer.status != 503

        poll(reported, seconds=120.0)

    def at_rest(self) -> bool:
        """Whether the records say all that is to be said: then no write is still to come."""
        api, namespace = self.site.api, self.site.namespace
        states = {one["metadata"]["name"]: one["status"]["state"] for one in api.find_all("PairingToken", namespace)}
        secrets = {one["metadata"]["name"] for one in api.find_all("Secret", namespace)}
        masters = api.find_all("MasterToken", namespace)
        wanted = dict.fromkeys(self.names, "Active")
        wanted |= dict.fromkeys(self.with_key + self.without_key, "Used") | dict.fromkeys(self.revoked, "Revoked")
        kept = {f"{name}-pairing-token" for name, state in wanted.items() if state == "Active"}
        recorded = all(one.get("status", {}).get("state") == "Active" for one in masters)
        return (states, secrets, recorded) == (wanted, kept, True)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a piece of work has cost the API server.

    Attributes:
        writes: Those that arrived there, by its audit log, refused ones too.
        requests: Those that our processes sent about the namespace.
        failed: How many of these requests, and of these writes, were answered by the proxy in its place.
    """

    writes: int
    requests: int
    failed: int
    failed_writes: int


def cost_of(story: Story, proxy: FaultProxy, trail: Trail) -> tuple[Cost, list[Passed]]:
    """Let a story happen, and return what it has cost, and all that our processes sent meanwhile."""
    site, since, first = story.site, trail.mark(), len(proxy.seen)
    story.tell()
    poll(story.at_rest, seconds=120.0)
    seen = proxy.seen[first:]
    sent = [passed for passed in seen if f"/{site.namespace}/" in passed.asked.path]
    failed = [passed for passed in sent if passed.fate.isdigit()]
    written = [trail.writes(site.namespace, since=since, user=user) for user in USERS.values()]
    writes = sum(map(len, written))
    return Cost(writes, len(sent), len(failed), sum(passed.asked.writes for passed in failed)), seen


def too_early(seen: list[Passed], wait: float) -> list[tuple[float, Asked]]:
    """List the requests that came sooner after a 429 for the same object than that has asked for."""
    early, refused = [], dict[Asked, float]()
    for passed in seen:
        since = refused.pop(passed.asked, None)
        if since is not None and passed.time < since + wait:
            early.append((passed.time - since, passed.asked))
        if passed.fate == "429":
            refused[passed.asked] = passed.time
    return early


def busiest_second(seen: list[Passed]) -> int:
    times = [passed.time for passed in seen]
    return max(sum(1 for other in times[start:] if other < time + 1.0) for start, time in enumerate(times))


def deliveries(story: Story) -> dict[str, str]:
    """The id of the master token that was handed out for each token."""
    last = {name: answers[-1] for name, answers in story.answers.items()}
    return {name: answer.body["token_id"] for name, answer in last.items() if "token_id" in answer.body}


@pytest.mark.proof(gate=40, soak=400)
def test_one_failure_in_ten_loses_no_token_and_starts_no_storm(
    own_system: OwnSystem, proxy: FaultProxy, make_own_site: Callable[[], Site], rounds: int, figure: Figure
) -> None:
    trail = Trail(own_system.plane.audit_log)
    floor, _ = cost_of(Story(make_own_site(), 4), proxy, trail)
    story, share = Story(make_own_site(), rounds), rounds / 4
    proxy.rules = FAULTY
    cost, seen = cost_of(story, proxy, trail)
    watches = proxy.cut_watches()

    delivered, early = deliveries(story), too_early(seen, FAULTY.delay + FAULTY.retry_after)
    reported = collections.Counter(answer.status for answers in story.answers.values() for answer in answers)
    burnt = [name for name in story.without_key if name not in delivered]
    fates = collections.Counter(passed.fate for passed in seen)
    figure(
        f"{rounds} tokens, {dict(fates)}; {cost.writes} writes where {floor.writes * share:.0f} were due "
        f"and {cost.failed_writes} failed; {cost.requests} requests where {floor.requests * share:.0f} were due and "
        f"{cost.failed} failed; at most {busiest_second(seen)} a second; {len(early)} before their Retry-After; "
        f"clients were told {dict(reported)}; {len(burnt)} of {len(story.without_key)} without a key burnt"
    )
    assert min(fates[str(status)] for status in FAULTY.statuses) > 0, "the proxy has failed nothing"
    assert watches > 0
    # The same leader through it all: what it lost, it would have had to win again.
    assert all(child.running for child in own_system.up.children.values())
    assert cost.writes <= MOST * floor.writes * share + cost.failed_writes
    assert cost.requests <= MOST * floor.requests * share + cost.failed
    assert early == []
    # Each ends with its token, or, without a key to come back with, with a refusal; and it is one token.
    assert set(reported) <= {200, 503, 400}
    assert set(story.with_key) <= set(delivered)
    assert all(story.answers[name][-1].status == 400 for name in burnt)
    assert all(answers[-1].status == 200 for name, answers in story.answers.items() if name in story.revoked)
    masters = story.site.api.find_all("MasterToken", story.site.namespace)
    owners = collections.Counter(one["spec"]["pairingTokenRef"]["name"] for one in masters)
    assert set(owners.values()) == {1}
    recorded = {one["spec"]["pairingTokenRef"]["name"]: one["spec"]["tokenID"] for one in masters}
    assert delivered.items() <= recorded.items()


# The answer to a write is lost, the write itself, or it comes too late.

CALL_SECONDS = float(inspect.signature(KubeCluster).parameters["timeout_seconds"].default)
# A busy machine needs this long to try again; a late write that lands before would be the one that counts.
RETRIED_WITHIN = 15.0
SWAP, CREATE = ("PUT", "/pairingtokens/"), ("POST", "/mastertokens/")
# What happens to which write of the exchange, and whether it is over before its caller's patience is.
CASES = [
    ("lose_answer", SWAP, True),  # F5
    ("lose_request", SWAP, True),  # F6
    ("mute", SWAP, False),
    ("late", SWAP, False),  # F7
    ("lose_answer", CREATE, True),
    ("lose_request", CREATE, True),
    ("mute", CREATE, False),
]


def first_of(namespace: str, write: tuple[str, str]) -> Match:
    """Match the exchange's first write of a kind about each object of a namespace."""
    method, part = write
    done: set[str] = set()

    def match(asked: Asked) -> bool:
        mine = asked.user == USERS[EXCHANGE] and f"/{namespace}/" in asked.path
        if not mine or asked.method != method or part not in asked.path or asked.path in done:
            return False
        done.add(asked.path)
        return True

    return match


def any_of(matches: list[Match]) -> Match:
    return lambda asked: any(match(asked) for match in matches)


@pytest.mark.proof(gate=1, soak=20)
def test_a_write_whose_answer_is_lost_is_done_once_and_burns_nothing(
    own_system: OwnSystem, proxy: FaultProxy, make_own_site: Callable[[], Site], rounds: int, figure: Figure
) -> None:
    trail, reported, writes = Trail(own_system.plane.audit_log), collections.Counter[str](), 0
    for _ in range(rounds):
        since = trail.mark()
        stories = [Story(make_own_site(), 2) for _ in CASES]
        rules: dict[str, list[Match]] = collections.defaultdict(list)
        for (rule, write, _), story in zip(CASES, stories, strict=True):
            rules[rule].append(first_of(story.site.namespace, write))
        failing: dict[str, Any] = {rule: any_of(some) for rule, some in rules.items()}
        proxy.rules = Rules(**failing, late_by=CALL_SECONDS + RETRIED_WITHIN)
        first = len(proxy.seen)
        with ThreadPoolExecutor(len(CASES)) as threads:
            for done in [threads.submit(story.tell) for story in stories]:
                done.result()
        failed = collections.Counter(passed.fate for passed in proxy.seen[first:])

        for (rule, write, quick), story in zip(CASES, stories, strict=True):
            case = f"{rule} {write[1]}"
            poll(story.at_rest)
            if rule == "late":
                poll(partial(are_too_late, story, trail, since))
            assert_one_to_one(story, case, without_key_too=quick)
            written = trail.writes(story.site.namespace, since=since, user=USERS[EXCHANGE])
            writes += len(written)
            stored = [w.split(" ")[1] for w in written if not w.endswith(")")]
            # A repeated request without a key is a second use. It is reported in an event.
            assert collections.Counter(one for one in stored if one != "events") == {
                "pairingtokens/status": 2,
                "mastertokens": 2,
            }, (case, written)
            reported.update(f"{answer.status}" for answers in story.answers.values() for answer in answers)
        assert failed == {"passed": failed["passed"], "lose_answer": 4, "lose_request": 4, "mute": 4, "late": 2}
    figure(
        f"{rounds} rounds of {len(CASES)} cases, each with and without a key: told {dict(reported)}, {writes} writes"
    )


def are_too_late(story: Story, trail: Trail, since: Mark) -> bool:
    """Whether both late swaps have arrived, and met an object that had changed."""
    written = trail.writes(story.site.namespace, since=since, user=USERS[EXCHANGE])
    return sum(write.startswith("update pairingtokens/status") and write.endswith("(409)") for write in written) == 2


def assert_one_to_one(story: Story, case: str, *, without_key_too: bool) -> None:
    delivered = deliveries(story)
    masters = story.site.api.find_all("MasterToken", story.site.namespace)
    recorded = {one["spec"]["pairingTokenRef"]["name"]: one["spec"]["tokenID"] for one in masters}
    assert len(masters) == len(recorded) == 2, case
    assert delivered.items() <= recorded.items(), case
    assert set(story.with_key) <= set(delivered), case
    assert not without_key_too or set(story.without_key) <= set(delivered), case
