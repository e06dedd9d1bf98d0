"""The metrics of both processes. Every label comes from a closed set (S28): a caller cannot make series.

A value that is not in its set is counted as `other`, so that a new outcome shows up as a gap in this file and not as
an endless list of series.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from tallystick.domain.reminders import Rotation

OTHER = "other"
KINDS = frozenset({"PairingToken", "MasterToken", "ConnectionConfiguration", "Secret", "Keyring"})
RESULTS = frozenset({"done", "retried", "failed"})
ENDPOINTS = frozenset({"token", "introspect", "revoke", "heartbeat", "jwks", "discovery"})
OUTCOMES = frozenset(
    {
        "ok",
        "invalid_client",
        "invalid_dpop_proof",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "invalid_target",
        "invalid_token",
        "unsupported_grant_type",
        "unsupported_token_type",
        "replay",
        "too_many_requests",
        "temporarily_unavailable",
        "clock_unsafe",
        "deployment_type_mismatch",
        "not_found",
        "server_error",
    }
)
VERBS = frozenset({"get", "list", "create", "replace", "replace_status", "delete", "review", "apply"})
CODE_CLASSES = {2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}


@dataclass(frozen=True, slots=True)
class Metrics:
    """All metrics of a process and the registry that renders them (`prometheus_client.generate_latest`)."""

    registry: CollectorRegistry
    reconciles: Counter
    queue_depth: Gauge
    queue_age: Gauge
    leader: Gauge
    events_suppressed: Counter
    audit_failures: Gauge
    exchange_answers: Counter
    api_calls: Counter
    keyring_age: Gauge
    connection_token_age: Gauge
    connections: Gauge

    def count_reconcile(self, kind: str, result: str) -> None:
        """Count one reconcile of a kind: `done`, `retried` or `failed`."""
        self.reconciles.labels(_closed(kind, KINDS), _closed(result, RESULTS)).inc()

    def count_answer(self, endpoint: str, outcome: str) -> None:
        """Count one answer of the exchange: `ok` or its error code."""
        self.exchange_answers.labels(_closed(endpoint, ENDPOINTS), _closed(outcome, OUTCOMES)).inc()

    def count_api_call(self, verb: str, status: int | None) -> None:
        """Count one request to the API server; status None means that no answer came."""
        self.api_calls.labels(_closed(verb, VERBS), _code_class(status)).inc()

    def watch_queue(self, depth: Callable[[], float], oldest_age: Callable[[], float]) -> None:
        """Read the queue's figures whenever the metrics are read."""
        self.queue_depth.set_function(depth)
        self.queue_age.set_function(oldest_age)

    def watch_rotations(self, oldest_age: Callable[[], float], count: Callable[[Rotation], float]) -> None:
        """Read the figures of connection tokens whenever the metrics are read."""
        self.connection_token_age.set_function(oldest_age)
        for rotation in Rotation:
            self.connections.labels(rotation.value).set_function(partial(count, rotation))


def make_metrics(registry: CollectorRegistry | None = None) -> Metrics:
    """Make the metrics of one process in a registry of their own."""
    registry = registry or CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    return Metrics(
        registry=registry,
        reconciles=Counter(
            "tallystick_reconciles", "Reconciles by kind and result.", ("kind", "result"), registry=registry
        ),
        queue_depth=Gauge("tallystick_queue_depth", "Keys that wait for a worker.", registry=registry),
        queue_age=Gauge("tallystick_queue_oldest_age_seconds", "Age of the longest-waiting key.", registry=registry),
        leader=Gauge("tallystick_leader", "1 while this replica leads.", registry=registry),
        events_suppressed=Counter("tallystick_events_suppressed", "Events that were not written.", registry=registry),
        audit_failures=Gauge("tallystick_audit_failures", "Audit lines or facts that were lost.", registry=registry),
        exchange_answers=Counter(
            "tallystick_exchange_answers",
            "Answers by endpoint and outcome.",
            ("endpoint", "outcome"),
            registry=registry,
        ),
        api_calls=Counter(
            "tallystick_api_calls",
            "Requests to the API server by verb and code class.",
            ("verb", "code"),
            registry=registry,
        ),
        keyring_age=Gauge("tallystick_keyring_age_seconds", "Age of the key that signs.", registry=registry),
        connection_token_age=Gauge(
            "tallystick_connection_token_age_seconds",
            "Age of the newest active token of a ConnectionConfiguration, where it is oldest.",
            registry=registry,
        ),
        connections=Gauge(
            "tallystick_connection_configurations",
            "ConnectionConfigurations with an active token, by whether a rotation is due.",
            ("rotation",),
            registry=registry,
        ),
    )


def _closed(value: str, allowed: frozenset[str]) -> str:
    return value if value in allowed else OTHER


def _code_class(status: int | None) -> str:
    """`2xx` to `5xx`; `none` if no answer came."""
    if status is None:
        return "none"
    return CODE_CLASSES.get(status // 100, OTHER)
