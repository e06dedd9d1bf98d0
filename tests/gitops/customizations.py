"""The health and the actions of examples/06-gitops, run as Argo CD runs them: Lua 5.1 with few libraries."""

import json
import subprocess
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import lupa.lua51 as lua
import yaml

from tallystick.localplane.build import find_binaries

Json = dict[str, Any]

EXAMPLE = Path(__file__).parents[2] / "examples" / "06-gitops"
CUSTOMIZATIONS = EXAMPLE / "argocd" / "customizations"
PREFIX = "resource.customizations"
# `runLua` of Argo CD opens the libraries base, table and package, and an `os` with time and date alone.
_ABSENT = ("string", "math", "io", "debug", "coroutine", "python")
_OS = ("time", "date")


@dataclass(frozen=True, slots=True)
class Change:
    """One object that an action writes: the operation, and the whole object."""

    operation: str
    body: Json


def run_lua(script: str, obj: Mapping[str, Any]) -> Any:
    """Return what a script returns for an object, as JSON values.

    An empty table is an empty object, as Argo CD treats it where the object had one.
    """
    runtime = lua.LuaRuntime(register_eval=False, register_builtins=False)
    places = runtime.globals()
    places["os"] = runtime.table_from({name: places["os"][name] for name in _OS})
    places["package"]["loaded"]["os"] = places["os"]
    for name in _ABSENT:
        places[name] = None
    places["obj"] = runtime.table_from(deepcopy(dict(obj)), recursive=True)
    return _json(runtime.execute(script))


def _json(value: Any) -> Any:
    if lua.lua_type(value) != "table":
        return value
    keys = list(value)
    if keys and keys == list(range(1, len(keys) + 1)):
        return [_json(value[key]) for key in keys]
    return {key: _json(value[key]) for key in keys}


def health_of(body: Json) -> Json:
    """Return the health of an object: `status` and `message`."""
    return dict(run_lua((CUSTOMIZATIONS / "health.lua").read_text(), body))


def actions_of(kind: str) -> Json:
    """Return the discovery script of a kind and the scripts of its actions by name."""
    found = yaml.safe_load((CUSTOMIZATIONS / "actions" / f"{kind}.yaml").read_text())
    return {"discovery": found["discovery.lua"], **{one["name"]: one["action.lua"] for one in found["definitions"]}}


def enabled_actions(body: Json) -> list[str]:
    """Return the names of the actions that a user can choose for an object, sorted."""
    offered = run_lua(actions_of(body["kind"])["discovery"], body)
    return sorted(name for name, action in offered.items() if not action["disabled"])


def act(body: Json, action: str) -> list[Change]:
    """Return what an action of an object writes."""
    returned = run_lua(actions_of(body["kind"])[action], body)
    if isinstance(returned, list):
        return [Change(one["operation"], one["resource"]) for one in returned]
    return [Change("patch", returned)]


@cache
def rendered(folder: Path) -> list[Json]:
    """Return the objects that `kubectl kustomize` prints for a folder."""
    kubectl = find_binaries(lambda _: None).kubectl
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [body for body in yaml.safe_load_all(done.stdout) if body]


def config_map() -> Json:
    """Return the data of argocd-cm, as the overlay of the example renders it."""
    (body,) = rendered(EXAMPLE / "argocd" / "overlay")
    return dict(json.loads(json.dumps(body["data"])))
