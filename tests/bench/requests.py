"""wP: one pairing token over HTTP, beside a client that creates a PairingToken and watches it until it is Active.

The two take turns, one token each, so that both meet the same machine. A caller may request 60 tokens a minute.
"""

import json
import statistics
import time
from contextlib import closing
from http import HTTPStatus
from typing import Any

import urllib3

from tests.bench.measure import Figure
from tests.bench.stage import Stage
from tests.bench.workloads import Say, Size
from tests.harness.api import Api
from tests.harness.grants import grant
from tests.harness.objects import a_pairing_token

Json = dict[str, Any]

OF_EACH = 30
PATH = "/v1/service_trust/pairing/mission-control"
COLLECTION = "/apis/tallystick.dev/v1alpha1/namespaces/{}/pairingtokens"


def requests(stage: Stage, size: Size, say: Say) -> list[Figure]:
    """Time both for each pair, and compare their medians."""
    ratios, ours, bare = [], [], []
    with (
        stage.operator() as up,
        Api.connect(stage.plane.kubeconfig, stage.plane.binaries.kubectl) as admin,
        urllib3.PoolManager(ca_certs=str(up.ca_file), retries=False) as pool,
    ):
        for number in range(1, size.pairs + 1):
            namespace, bearer = _caller(stage, admin, up.url)
            headers = {"Authorization": f"Bearer {bearer}"}
            of_form, of_client = [], []
            for token in range(OF_EACH + 1):
                began = time.perf_counter()
                answer = pool.request("POST", up.url + PATH, headers=headers)
                assert answer.status == HTTPStatus.OK, answer.data
                between = time.perf_counter()
                _create_and_watch(admin, a_pairing_token(namespace, f"bare-{token}"))
                if token:  # the first ones open connections
                    of_form.append(between - began)
                    of_client.append(time.perf_counter() - between)
            ours.append(statistics.median(of_form) * 1000)
            bare.append(statistics.median(of_client) * 1000)
            ratios.append(ours[-1] / bare[-1])
            say(f"wP {number}/{size.pairs}: {ratios[-1]:.2f}x")
    return [
        Figure.at_most("wP", "time of a request over create and watch", ratios, 1.5),
        Figure.reported("wP", "ms of a request", ours),
        Figure.reported("wP", "ms of create and watch", bare),
    ]


def _caller(stage: Stage, admin: Api, issuer: str) -> tuple[str, str]:
    namespace = stage.namespace()
    account = {"kind": "ServiceAccount", "metadata": {"name": "press", "namespace": namespace}}
    admin.create({"apiVersion": "v1", **account}).must_succeed()
    for role in ("tallystick-edit", "tallystick-usecase-mission-control"):
        grant(admin, namespace, f"system:serviceaccount:{namespace}:press", role)
    return namespace, admin.request_token(namespace, "press", issuer)


def _create_and_watch(admin: Api, body: Json) -> None:
    meta = admin.create(body).must_succeed()["metadata"]
    query = f"watch=1&fieldSelector=metadata.name={meta['name']}&resourceVersion={meta['resourceVersion']}"
    url = f"{admin.server}{COLLECTION.format(meta['namespace'])}?{query}"
    with closing(admin.pool.request("GET", url, preload_content=False)) as events:
        for line in _lines(events):
            if json.loads(line)["object"].get("status", {}).get("state") == "Active":
                return
    raise AssertionError("the watch ended before the token was Active")


def _lines(events: urllib3.BaseHTTPResponse) -> Any:
    """Yield each event as soon as it is there."""
    rest = b""
    for part in events.stream(None):
        *lines, rest = (rest + part).split(b"\n")
        yield from lines
