"""The namespace in which a command works is that of the context, as for kubectl."""

from pathlib import Path

import pytest
import yaml

from tallystick.kube.kubeconfig_entries import KubeconfigError
from tallystick.kube.sources import namespace_of

DOCUMENT = {
    "current-context": "plant",
    "contexts": [
        {"name": "plant", "context": {"cluster": "c", "user": "u", "namespace": "edge"}},
        {"name": "office", "context": {"cluster": "c", "user": "u"}},
    ],
}


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(DOCUMENT), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("context", "namespace"), [(None, "edge"), ("plant", "edge"), ("office", "default"), ("nosuch", "default")]
)
def test_the_namespace_of_a_context(kubeconfig: Path, context: str | None, namespace: str) -> None:
    assert namespace_of(kubeconfig, context, {}) == namespace
    assert namespace_of(None, context, {"KUBECONFIG": str(kubeconfig)}) == namespace


def test_without_a_kubeconfig_it_is_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert namespace_of(None, None, {}) == "default"
    with pytest.raises(KubeconfigError, match="does not exist"):
        namespace_of(tmp_path / "nosuch", None, {})
