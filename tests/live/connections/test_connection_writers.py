"""Two writers at once, neither of whom knows of the other: the promises of the slots hold at every version (S9, R24).

A watch sees every version that is ever stored, so what is held against the promises is all that there was.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from tests.harness.api import Answer, Api
from tests.harness.connections import a_connection, connected, connection_secret_of, slots
from tests.harness.fuzzing import seed_of
from tests.harness.objects import value_of
from tests.harness.pairing_site import Site, claims_of
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.harness.slot_admission import OF_EDITS
from tests.harness.slot_history import History
from tests.harness.slot_states import acceptable, at_rest, secret_of_rest, slots_of, tokens_of
from tests.harness.system import System
from tests.harness.together import at_once

Json = dict[str, Any]

Change = Callable[[list[str]], list[str]]

RESTS_EVERY = 5
SECONDS = 30.0
CONFLICT = "the object has been modified"


@pytest.mark.proof(gate=20, soak=200)
def test_two_writers_at_once_break_no_promise_at_any_version(
    site: Site, system: System, rounds: int, figure: Figure, pytestconfig: pytest.Config
) -> None:
    seed = seed_of(pytestconfig)
    draw = random.Random(seed)  # noqa: S311 - changes that can be drawn again
    first = connected(site.api, a_connection(site.namespace, tokens=slots("a")))
    answers: list[Answer] = []
    values: dict[str, str] = {}

    with watched(site.api, first) as versions:
        stale = first
        for number in range(1, rounds + 1):
            calls = [partial(patch, site.api, first, a_change(draw)), partial(replace, site.api, stale, a_change(draw))]
            stale = site.api.get(first)
            reported = at_once(calls, offsets=[draw.uniform(0, 0.02), draw.uniform(0, 0.02)])
            answers += [answer for results in reported.results for answer in results]
            if number % RESTS_EVERY == 0 or number == rounds:
                last = rest(site, first, system)
                values |= held(site.api, last)
        good = {token_id for token_id, value in values.items() if is_good(site, value)}

    now, history = system.clock.now(), History()
    for version in versions:
        history.observe(version, now)
        assert acceptable(version, now), "R31: one token is good at every version"
    stored = {answer.body["metadata"]["resourceVersion"] for answer in answers if answer.succeeded}
    refused = Counter(text for answer in answers if not answer.succeeded for text in said(answer))
    texts = ", ".join(f"{count} '{text[:28]}...'" for text, count in refused.most_common())
    figure(
        f"seed {seed}: {rounds} rounds, {len(versions)} versions, {len(stored)} edits stored, {len(history.made)} "
        f"tokens made, {history.reasons['Manual']} revoked; {texts}"
    )
    assert stored <= {version["metadata"]["resourceVersion"] for version in versions}, "the watch has missed none"
    assert len(versions) == len({version["metadata"]["resourceVersion"] for version in versions})
    assert good == acceptable(last, now) & values.keys() == acceptable(last, now)
    assert history.reasons.keys() == {"Manual"}
    assert refused.keys() <= {*OF_EDITS, CONFLICT}
    assert refused[CONFLICT] > 0, "they never met"


def a_change(draw: random.Random) -> Change:
    """What a writer has in mind: a slot more, one less, or one for another."""
    name, place, kind = draw.choice("abcd"), draw.randrange(2), draw.choice(["add", "add", "remove", "swap"])

    def changed(names: list[str]) -> list[str]:
        kept = names if kind == "add" else [one for number, one in enumerate(names) if number != place % len(names)]
        return kept if kind == "remove" or name in kept else [*kept, name]

    return changed


def patch(api: Api, body: Json, change: Change) -> list[Answer]:
    """Read, and patch without naming a version: whatever was stored meanwhile is overwritten."""
    names = change(slots_of(api.get(body)))
    return [api.merge(body, {"spec": {"tokens": slots(*names)}})]


def replace(api: Api, stale: Json, change: Change) -> list[Answer]:
    """Replace what was read long ago, and after a conflict what is there now, until it is stored or refused."""
    answers: list[Answer] = []
    body = stale
    while not answers or CONFLICT in answers[-1].message:
        spec = {**body["spec"], "tokens": slots(*change(slots_of(body)))}
        answers.append(api.update({**body, "spec": spec}))
        body = api.get(stale)
    return answers


def said(answer: Answer) -> list[str]:
    """The texts of a refusal; the whole message where it is none that we know."""
    return [text for text in (*OF_EDITS, CONFLICT) if text in answer.message] or [answer.message]


def rest(site: Site, body: Json, system: System) -> Json:
    """Wait until the controller has done all that was asked for, and the Secret holds just that."""

    def resting() -> Json | None:
        found = site.api.get(body)
        observed = found["status"]["observedGeneration"] == found["metadata"]["generation"]
        if not observed or not at_rest(found, system.clock.now()):
            return None
        ids = {token["tokenID"] for token in tokens_of(found) if token["state"] == "Active"}
        return found if ids == set(secret_of_rest(found).values()) == held(site.api, found).keys() else None

    found = poll(resting, seconds=SECONDS)
    assert found is not None
    return found


def held(api: Api, body: Json) -> dict[str, str]:
    """The tokens in the Secret, by id."""
    secret = api.get(connection_secret_of(body))
    values = [value_of(secret, key) for key in secret["data"] if key == "token" or key.startswith("token.")]
    return {str(claims_of(value)["jti"]): value for value in values}


def is_good(site: Site, token: str) -> bool:
    answer = site.exchange.introspect(token, site.bearer, deployment_type="Kubernetes").must_succeed()
    return bool(answer["active"])


@contextmanager
def watched(api: Api, body: Json) -> Iterator[list[Json]]:
    """Collect every version from this one on. At the end of the block the object is deleted, which ends the watch."""
    meta, versions = body["metadata"], [body]
    path = f"/apis/tallystick.dev/v1alpha1/namespaces/{meta['namespace']}/connectionconfigurations"
    query = f"watch=1&fieldSelector=metadata.name%3D{meta['name']}&resourceVersion={meta['resourceVersion']}"
    answer = api.pool.request("GET", f"{api.server}{path}?{query}", preload_content=False)

    def follow() -> None:
        rest_of_line = b""
        for chunk in answer.stream():
            *lines, rest_of_line = (rest_of_line + chunk).split(b"\n")
            for event in map(json.loads, lines):
                if event["type"] == "DELETED":
                    return
                assert event["type"] == "MODIFIED", event["type"]
                versions.append(event["object"])

    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(follow)
        try:
            yield versions
        finally:
            api.delete(body)
            following.result(timeout=SECONDS)
            answer.close()
