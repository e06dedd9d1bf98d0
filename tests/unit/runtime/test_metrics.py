"""Metrics: one registry per process, and no series that a caller can make (S28)."""

import pytest
from prometheus_client import generate_latest

from tallystick.registry import KINDS
from tallystick.runtime.gauges import Gauge
from tallystick.runtime.metrics import Metrics, make_metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_two_sets_of_metrics_do_not_know_each_other():
    first, second = make_metrics(), make_metrics()

    first.leader.set(1)

    assert value(first, "tallystick_leader") == 1
    assert value(second, "tallystick_leader") == 0


def test_what_is_counted_shows_under_its_labels():
    metrics = make_metrics(KINDS, endpoints={"token"}, outcomes={"invalid_request"})

    metrics.count_reconcile("PairingToken", "done")
    metrics.count_response("token", "invalid_request")
    metrics.count_api_call("replace_status", 409)
    metrics.count_api_call("get", None)

    assert value(metrics, "tallystick_reconciles_total", kind="PairingToken", result="done") == 1
    assert value(metrics, "tallystick_exchange_responses_total", endpoint="token", outcome="invalid_request") == 1
    assert value(metrics, "tallystick_api_calls_total", verb="replace_status", code="4xx") == 1
    assert value(metrics, "tallystick_api_calls_total", verb="get", code="none") == 1


@pytest.mark.parametrize("odd", ["", "x" * 10_000, "edge/press-1", "ok\n"])
def test_a_value_outside_its_set_makes_no_series_of_its_own(odd):
    metrics = make_metrics(endpoints={"token"}, outcomes={"ok"})

    metrics.count_reconcile(odd, odd)
    metrics.count_response(odd, odd)
    metrics.count_api_call(odd, 99)

    assert value(metrics, "tallystick_reconciles_total", kind="other", result="other") == 1
    assert value(metrics, "tallystick_exchange_responses_total", endpoint="other", outcome="other") == 1
    assert value(metrics, "tallystick_api_calls_total", verb="other", code="other") == 1


def test_the_queues_figures_are_read_when_the_metrics_are():
    metrics, waiting = make_metrics(), []
    metrics.watch_queue(lambda: len(waiting), lambda: 2.5)

    waiting.append("a")

    assert value(metrics, "tallystick_queue_depth") == 1
    assert value(metrics, "tallystick_queue_oldest_age_seconds") == 2.5


def test_each_level_of_the_queue_has_its_own_figures():
    metrics, waiting = make_metrics(), []
    metrics.watch_level("urgent", lambda: 1, lambda: 0.5)
    metrics.watch_level("routine", lambda: len(waiting), lambda: 2.5)

    waiting += ["a", "b"]

    assert value(metrics, "tallystick_queue_level_depth", level="urgent") == 1
    assert value(metrics, "tallystick_queue_level_depth", level="routine") == 2
    assert value(metrics, "tallystick_queue_level_oldest_age_seconds", level="urgent") == 0.5
    assert value(metrics, "tallystick_queue_level_oldest_age_seconds", level="routine") == 2.5


def test_the_page_has_the_processs_own_figures_too():
    page = generate_latest(make_metrics().registry).decode()

    assert "process_resident_memory_bytes" in page
    assert "tallystick_keyring_age_seconds" in page


def test_a_gauge_of_a_feature_is_read_when_the_metrics_are():
    plain = Gauge(name="tallystick_toy_seconds", help="Age of the oldest toy.")
    by_color = Gauge(name="tallystick_toys", help="Toys by color.", label="color", values=("red", "blue"))
    metrics, toys = make_metrics(gauges=(plain, by_color)), []
    metrics.read_gauges({plain: lambda _: 7.0, by_color: toys.count})

    toys += ["red", "red", "green"]

    assert value(metrics, "tallystick_toy_seconds") == 7.0
    assert value(metrics, "tallystick_toys", color="red") == 2.0
    assert value(metrics, "tallystick_toys", color="blue") == 0.0
    assert value(metrics, "tallystick_toys", color="green") is None
