"""Which kubeconfig is read and which context counts, beside kubectl; and files that neither can use."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.harness.kubeconfigs import CA, Place, T, a_document, no_proxies, place, we_say

__all__ = ["no_proxies", "place"]

Json = dict[str, Any]


def named(name: str, **more: Any) -> Json:
    """A kubeconfig whose only entries have this name, and whose token is the name."""
    document = a_document({}, {"token": name}, **{"current-context": name, **more})
    document["clusters"][0]["name"] = document["users"][0]["name"] = document["contexts"][0]["name"] = name
    document["contexts"][0]["context"] = {"cluster": name, "user": name}
    return document


def test_the_first_of_several_files_decides_and_paths_are_relative_to_their_file(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.folder / "far").mkdir()
    shutil.copy(place.folder / "ca.crt", place.folder / "far" / "near.crt")
    (place.folder / "far" / "token").write_text("of the far file\n".replace(" ", "-"))
    first = a_document({CA: "near.crt"}, {"tokenFile": "token"}, **{"current-context": ""})
    place.write("far/first", {**first, "contexts": []})
    place.write("second", a_document({"server": "https://127.0.0.1:1"}, {"token": "second"}))
    place.write("third", named("third"))
    paths = [place.folder / name for name in ("missing", "far/first", "second", "third")]
    joined = ":".join(["", *map(str, paths)])
    monkeypatch.setenv("KUBECONFIG", joined)

    # The context of the second file leads to cluster and user of the first.
    theirs = [place.kubectl_says(KUBECONFIG=joined), place.kubectl_says("--context=third", KUBECONFIG=joined)]
    ours = [we_say(), we_say(context="third")]

    assert [said["headers"] for said in ours] == [
        [["authorization", "Bearer of-the-far-file"]],
        [["authorization", "Bearer third"]],
    ]
    assert ours == theirs


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("flag KUBECONFIG home pod", "flag"),
        ("KUBECONFIG home pod", "KUBECONFIG"),
        ("KUBECONFIG pod", "KUBECONFIG"),
        ("home pod", "home"),
        ("pod", "pod"),
        ("empty-home pod", "pod"),
    ],
)
def test_the_first_source_that_is_there_decides(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, used: str
) -> None:
    sources = given.split()
    pod = tmp_path / "pod"
    pod.mkdir()
    (pod / "token").write_text("pod")
    shutil.copy(place.folder / "ca.crt", pod)
    monkeypatch.setattr("tallystick.kube.sources.POD", pod)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(place.https.port))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    if "home" in sources or "empty-home" in sources:
        content = place.write("home", named("home")).read_text() if "home" in sources else ""
        (tmp_path / ".kube" / "config").write_text(content)
    if "KUBECONFIG" in sources:
        monkeypatch.setenv("KUBECONFIG", str(place.write("variable", named("KUBECONFIG"))))
    flag = place.write("flag", named("flag")) if "flag" in sources else None

    said = we_say(flag)

    assert isinstance(said, dict), said
    assert said["headers"] == [["authorization", f"Bearer {used}"]]


def test_a_path_may_begin_with_the_home_folder(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write("in-home", named("in-home"))
    monkeypatch.setenv("KUBECONFIG", "~/in-home")

    said = [we_say(), we_say(Path("~/in-home"))]

    assert [one["headers"] for one in said] == [[["authorization", "Bearer in-home"]]] * 2


WRONG_FILES: dict[str, tuple[str, str]] = {
    "a context that does not exist": ("--context", "context nowhere does not exist; use one of: x"),
    "no current context": ("current-context: ''", "current-context is not set"),
    "a cluster that does not exist": ("clusters: []", "cluster 'c', which does not exist"),
    "a user that does not exist": ("users: []", "user 'u', which does not exist"),
    "a name twice": ("users: [{name: u}, {name: u}]", "users has the name 'u' twice"),
    "a list that is a text": ("users: none", "users must be a valid list"),
    "another kind": ("kind: Secret", "kind must be 'Config'"),
    "no YAML": ("users: [", "is not YAML: see line"),
    "a text": ("a text", "is not a kubeconfig"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_a_file_that_kubectl_refuses_is_refused_by_its_name(place: Place, case: str) -> None:
    change, reason = WRONG_FILES[case]
    file = place.write("wrong", a_document({}, T))
    context = "nowhere" if change == "--context" else None
    if change == "a text":
        file.write_text(change)
    elif context is None:
        file.write_text(f"{file.read_text()}\n{change}\n")  # of a field that comes twice the last one counts
    flags = [f"--context={context}"] if context else []

    theirs, ours = place.kubectl_says(f"--kubeconfig={file}", *flags), we_say(file, context)

    assert isinstance(theirs, str), theirs
    assert isinstance(ours, str), ours
    assert f"no usable connection to a cluster: {file}" in ours
    assert reason in ours
    assert "\n" not in ours


def test_a_file_that_is_named_and_missing_is_refused_and_nothing_replaces_it(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(place.write("home", named("home")).read_text())
    monkeypatch.setenv("HOME", str(tmp_path))

    by_flag = we_say(tmp_path / "missing")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    by_variable = we_say()
    monkeypatch.setenv("KUBECONFIG", str(tmp_path))
    a_folder = we_say()

    assert by_flag == f"no usable connection to a cluster: {tmp_path}/missing does not exist"
    assert f"KUBECONFIG={tmp_path}/missing: no such file" in by_variable
    assert a_folder == f"no usable connection to a cluster: {tmp_path} cannot be read: Is a directory"
