"""The settings of the processes hold those of every feature: by flag, by variable, by default."""

from datetime import timedelta
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel, ConfigDict

from tallystick.cli.main import app
from tallystick.cli.settings import FeatureSettings, feature_settings, load_settings, settings_model
from tallystick.cli.up import as_flags
from tallystick.errors import InvalidSettingError
from tallystick.feature import ControllerPart, Feature, NoSettings
from tallystick.pairing.domain.requester import RequesterMode
from tallystick.pairing.domain.settings import PairingSettings
from tallystick.registry import FEATURES
from tallystick.runtime.flags import Flag

URL = "https://trust.example.com"


class ToySettings(BaseModel):
    model_config = ConfigDict(frozen=True)

    toy_color: str = "red"


TOY = Feature(kinds=(), settings=ToySettings, controller=lambda _: ControllerPart(reconcilers={}))
OTHER = Feature(kinds=(), settings=NoSettings, controller=lambda _: ControllerPart(reconcilers={}))


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TALLYSTICK_REQUESTER", "TALLYSTICK_TOY_COLOR", "TALLYSTICK_PUBLIC_URLS"):
        monkeypatch.delenv(name, raising=False)


def test_the_settings_are_an_object_of_each_features_model() -> None:
    settings = load_settings((*FEATURES, TOY, OTHER), public_urls=URL, toy_color="blue")

    assert isinstance(settings, ToySettings)
    assert isinstance(settings, PairingSettings)
    assert (settings.toy_color, settings.requester, settings.use_cases_file) == ("blue", RequesterMode.POLICY, None)


def test_a_variable_sets_what_no_flag_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYSTICK_REQUESTER", "ServiceAccount")
    monkeypatch.setenv("TALLYSTICK_TOY_COLOR", "green")

    by_variable = load_settings((*FEATURES, TOY), public_urls=URL, requester=None)
    by_flag = load_settings((*FEATURES, TOY), public_urls=URL, toy_color="blue")

    assert by_variable.model_dump(include={"requester", "toy_color"}) == {
        "requester": RequesterMode.SERVICE_ACCOUNT,
        "toy_color": "green",
    }
    assert by_flag.model_dump(include={"toy_color"}) == {"toy_color": "blue"}


def test_a_value_that_a_feature_cannot_use_is_rejected_with_its_flag() -> None:
    with pytest.raises(InvalidSettingError, match=r"^--requester \(or TALLYSTICK_REQUESTER\): "):
        load_settings(public_urls=URL, requester="Nobody")


def test_a_command_that_installs_rejects_such_a_value_too() -> None:
    with pytest.raises(InvalidSettingError, match=r"^--requester \(or TALLYSTICK_REQUESTER\): "):
        feature_settings(requester="Nobody")


def test_settings_are_frozen() -> None:
    settings = load_settings((*FEATURES, TOY), public_urls=URL)

    with pytest.raises(ValueError, match="frozen"):
        settings.toy_color = "blue"


def test_a_command_that_installs_reads_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYSTICK_REQUESTER", "ServiceAccount")

    found = feature_settings().model_dump()

    assert (found["use_cases_file"], found["requester"]) == (None, RequesterMode.POLICY)


def test_up_passes_the_settings_of_the_features_to_its_processes_as_flags() -> None:
    settings = feature_settings(requester=RequesterMode.SERVICE_ACCOUNT, use_cases_file=Path("/etc/table.yaml"))
    flags = (Flag(name="use_cases_file", option=Path), Flag(name="requester", option=str))

    assert as_flags(settings, flags) == ["--use-cases-file", "/etc/table.yaml", "--requester", "ServiceAccount"]
    assert as_flags(feature_settings(), flags) == ["--requester", "Policy"]


def test_up_passes_a_process_only_its_own_flags_and_a_switch_without_a_value() -> None:
    class Toys(FeatureSettings):
        shiny: bool = True
        toy_color: str = "red"

    shiny = (Flag(name="shiny", option=bool),)

    assert (as_flags(Toys(), shiny), as_flags(Toys(shiny=False), shiny)) == (["--shiny"], ["--no-shiny"])


@pytest.mark.parametrize("wrong", ["0", "-1", "many", "1000001"])
def test_a_limit_of_failures_is_a_positive_number(wrong) -> None:
    with pytest.raises(InvalidSettingError, match=r"^--failures-per-source \(or TALLYSTICK_FAILURES_PER_SOURCE\): "):
        load_settings(public_urls=URL, failures_per_source=wrong)


def flags_of_command(name: str) -> set[str]:
    command = typer.main.get_command(app)
    return {parameter.name or "" for parameter in command.commands[name].params} - {"help"}  # type: ignore[attr-defined]


def test_each_setting_of_the_processes_has_a_flag_and_no_flag_is_without_a_setting() -> None:
    settings = set(settings_model(FEATURES).model_fields)

    assert flags_of_command("controller") | flags_of_command("exchange") == settings


# Each setting, as the environment of a pod writes it, and its value.
VARIABLES = {
    "public_urls": ("https://a.example,https://b.example/x", ("https://a.example", "https://b.example/x")),
    "issuer": ("https://a.example", "https://a.example"),
    "namespace": ("ops", "ops"),
    "kubeconfig": ("/k", Path("/k")),
    "context": ("site", "site"),
    "audit_log": ("/audit", "/audit"),
    "log_level": ("WARNING", "WARNING"),
    "health_listen": (":8081", ":8081"),
    "watch_namespaces": ("a, b", ("a", "b")),
    "signing_algorithm": ("RS256", "RS256"),
    "key_max_age": ("720h", timedelta(hours=720)),
    "ca_file": ("/ca.crt", Path("/ca.crt")),
    "tls_service": ("site-exchange", "site-exchange"),
    "listen": (":8443", ":8443"),
    "tls_cert": ("/tls.crt", Path("/tls.crt")),
    "tls_key": ("/tls.key", Path("/tls.key")),
    "plain_http": ("true", True),
    "connections_per_source": ("512", 512),
    "failures_per_source": ("2000", 2000),
    "max_staleness": ("0.5", 0.5),
    "replica_name": ("one", "one"),
    "requester": ("ServiceAccount", RequesterMode.SERVICE_ACCOUNT),
    "use_cases_file": ("/use-cases.yaml", Path("/use-cases.yaml")),
    "bootstrap_generation": ("2", 2),
    "bootstrap_token_delete_in_minutes": ("15", 15),
    "bootstrap_keys": ("false", False),
    "bootstrap_master_key_secret": ("mine", "mine"),
    "bootstrap_join_key_secret": ("mine", "mine"),
}


def test_each_setting_can_be_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (text, _) in VARIABLES.items():
        monkeypatch.setenv(f"TALLYSTICK_{name.upper()}", text)

    settings = load_settings(FEATURES)

    assert set(VARIABLES) == set(settings_model(FEATURES).model_fields)
    assert {name: getattr(settings, name) for name in VARIABLES} == {
        name: value for name, (_, value) in VARIABLES.items()
    }
