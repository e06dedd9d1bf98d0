"""Credentials that change: the plugin of a kubeconfig runs when it must, and only then."""

import ssl
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import yaml

from tallystick.cli.identities import Identity
from tallystick.kube.credentials import SECONDS_BETWEEN_RUNS, ExecCredentials
from tallystick.kube.kubeconfig import read_kubeconfig
from tallystick.kube.kubeconfig_entries import Cluster, Exec, Extension, User

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class World:
    """A plugin that counts its runs, and a clock."""

    def __init__(self, folder, expires=None):
        self.now, self.seconds = NOW, 100.0
        self.runs = folder / "runs"
        self.runs.write_text("")
        plugin = folder / "plugin"
        status = '"token": "t"' + (f', "expirationTimestamp": "{expires.isoformat()}"' if expires else "")
        version = "client.authentication.k8s.io/v1"
        answer = f'{{"kind": "ExecCredential", "apiVersion": "{version}", "status": {{{status}}}}}'
        plugin.write_text(f"#!/bin/sh\necho run >> {self.runs}\necho '{answer}'\n")
        plugin.chmod(0o755)
        user = User(exec=Exec(command=str(plugin), api_version=version, interactive_mode="Never"))
        self.credentials = ExecCredentials(
            user,
            Cluster(server="https://api.example"),
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            now=lambda: self.now,
            seconds=lambda: self.seconds,
        )

    @property
    def count(self):
        return len(self.runs.read_text().splitlines())


def test_a_plugin_runs_once_while_its_token_is_valid(tmp_path):
    world = World(tmp_path, NOW + timedelta(minutes=5))

    headers = [world.credentials.authorization() for _ in range(3)]

    assert headers == ["Bearer t"] * 3
    assert world.count == 1


def test_a_plugin_runs_again_when_its_token_expires(tmp_path):
    world = World(tmp_path, NOW + timedelta(minutes=5))
    world.credentials.authorization()

    world.now += timedelta(minutes=5)

    assert not world.credentials.is_fresh
    world.credentials.authorization()
    assert world.count == 2


def test_a_storm_of_refusals_does_not_start_a_plugin_each_time(tmp_path):
    world = World(tmp_path)
    world.credentials.authorization()

    for _ in range(5):
        world.credentials.reject()
        world.credentials.authorization()
    before = world.count
    world.seconds += SECONDS_BETWEEN_RUNS
    world.credentials.reject()
    world.credentials.authorization()

    assert (before, world.count) == (1, 2)


def test_the_processes_of_up_get_every_field_of_the_cluster(tmp_path):
    cluster = Cluster(
        server="https://api.example",
        tls_server_name="other.example",
        certificate_authority_data=b"PEM",
        proxy_url="http://me:word@proxy.example:3128",
        disable_compression=True,
        extensions=(Extension(name="x", extension={"a": 1}),),
    )
    insecure = Cluster(server="https://api.example", insecure_skip_tls_verify=True)
    identity = Identity("tallystick-system", "controller", tmp_path)

    for one in (cluster, insecure):
        identity.write_kubeconfig(SimpleNamespace(cluster=one))
        found, user = read_kubeconfig([identity.kubeconfig], all_exist=True).selected(None)

        assert found == one
        assert user == User(token_file=str(identity.token_file))
    assert set(yaml.safe_load(identity.kubeconfig.read_text())["users"][0]["user"]) == {"tokenFile"}


def test_no_credential_is_in_the_text_of_an_entry():
    secrets = User(token="hidden", password="hidden", client_key_data=b"hidden", auth_provider={"config": "hidden"})
    cluster = Cluster(proxy_url="http://me:hidden@proxy")
    plugin = Exec(env=[{"name": "TOKEN", "value": "hidden"}])

    assert "hidden" not in f"{secrets!r} {cluster!r} {plugin!r} {User(exec=plugin)!r}"


@pytest.mark.parametrize("field", ["token", "password"])
def test_a_file_with_a_wrong_type_is_refused_without_its_value(tmp_path, field):
    file = tmp_path / "kubeconfig"
    file.write_text(f"users: [{{name: u, user: {{{field}: [hidden-word]}}}}]")

    with pytest.raises(Exception, match=rf"users\[0\].user.{field} must be a valid string") as refused:
        read_kubeconfig([file], all_exist=True)

    assert "hidden-word" not in str(refused.value)
    assert refused.value.__cause__ is None
