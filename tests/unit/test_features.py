"""Each feature is whole: kinds with a reconciler, gauges with a reading, and names that no other feature has."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from tallystick.cli.installing import install_parts
from tallystick.cli.settings import feature_settings
from tallystick.controller.part import ControllerContext, ControllerPart
from tallystick.controller.worklist import Worklist
from tallystick.feature import Feature
from tallystick.install.installation import Installation
from tallystick.objects.context import Context
from tallystick.objects.server_clock import ServerClock
from tallystick.registry import FEATURES, KINDS
from tallystick.runtime.metrics import make_metrics
from tallystick.tokens.authority import no_ca
from tallystick.tokens.signer import Signer
from tests.builders import ISSUER, HeldKeys
from tests.fakes import FakeClock, FakeCluster, MemoryAudit, MemoryEvents


def part_of(feature: Feature[Any]) -> ControllerPart:
    clock = FakeClock()
    worklist = Worklist(KINDS, clock, make_metrics())
    return feature.controller(
        ControllerContext(
            ctx=Context(clock, ServerClock(clock), MemoryAudit(), MemoryEvents()),
            cluster=FakeCluster(clock=clock),
            cache=worklist.cache,
            signer=Signer(HeldKeys(), ISSUER),
            namespace="tallystick-system",
            external_urls=(ISSUER,),
            ca_pem=no_ca,
            settings=feature.settings(),
            look_again=worklist.look_again,
            look_at_all_again=worklist.look_at_all_again,
        )
    )


def repeated(names: Iterable[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]


@pytest.mark.parametrize("feature", FEATURES)
def test_each_kind_has_a_reconciler_and_each_gauge_a_reading(feature: Feature[Any]) -> None:
    part = part_of(feature)

    assert set(part.reconcilers) == {kind.resource for kind in feature.kinds}
    assert set(part.readings) == set(feature.gauges)


@pytest.mark.parametrize("feature", FEATURES)
def test_each_gauge_is_a_number_for_each_value_of_its_label(feature: Feature[Any]) -> None:
    for gauge, reading in part_of(feature).readings.items():
        assert bool(gauge.label) == bool(gauge.values)
        assert [float(reading(value)) for value in gauge.values or ("",)] == [0.0] * len(gauge.values or ("",))


@pytest.mark.parametrize("feature", FEATURES)
def test_all_settings_of_a_feature_have_a_default(feature: Feature[Any]) -> None:
    assert feature.settings() == feature.settings()


def test_no_two_features_use_one_name() -> None:
    parts = install_parts(Installation(), FEATURES, feature_settings())

    assert repeated(kind.resource.plural for kind in KINDS) == []
    assert repeated(name for kind in KINDS for name in kind.model.SHORT_NAMES) == []
    assert repeated(kind.secret_suffix for kind in KINDS if kind.secret_suffix) == []
    assert repeated(name for feature in FEATURES for name in feature.settings.model_fields) == []
    assert repeated(gauge.name for feature in FEATURES for gauge in feature.gauges) == []
    assert repeated(command.__name__ for feature in FEATURES for command in feature.commands) == []
    assert repeated(name for part in map(part_of, FEATURES) for name in part.ready) == []
    assert repeated(f"{body['kind']} {body['metadata']['name']}" for part in parts for body in part.policies) == []
    assert repeated(what for part in parts for what in part.probes) == []
