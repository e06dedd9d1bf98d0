"""Archives of images: write one of a single program, and unpack the files of one."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any


def write_image(archive: Path, name: str, program: Path) -> None:
    """Write a docker-archive of an image whose only file is a static program, which is its entrypoint.

    Args:
        archive: The file to write.
        name: The name and tag of the image.
        program: The program.
    """
    layer = _tar({program.name: program.read_bytes()}, mode=0o755)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    content = {
        "config.json": json.dumps(config).encode(),
        "layer.tar": layer,
        "manifest.json": json.dumps(manifest).encode(),
    }
    draft = archive.with_name(f".{archive.name}")
    draft.write_bytes(_tar(content, mode=0o644))
    draft.replace(archive)


def unpack_image(archive: Path, folder: Path) -> dict[str, Any]:
    """Unpack the layers of a docker-archive into a folder, and return the configuration of its containers.

    A layer of ours deletes no file of an earlier one, so there are no whiteouts to apply.
    """
    with tarfile.open(archive) as outer:
        manifest = json.loads(_read(outer, "manifest.json"))[0]
        for name in manifest["Layers"]:
            with tarfile.open(fileobj=io.BytesIO(_read(outer, name))) as layer:
                assert not [member for member in layer.getnames() if Path(member).name.startswith(".wh.")]
                layer.extractall(folder, filter="tar")
        config: dict[str, Any] = json.loads(_read(outer, manifest["Config"]))["config"]
        return config


def _tar(content: dict[str, bytes], *, mode: int) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    assert member is not None, name
    return member.read()
