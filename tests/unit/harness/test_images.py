"""Archives of images: what is written can be unpacked."""

import json
import tarfile
from pathlib import Path

from tests.e2e.node.images import unpack_image, write_image


def test_the_image_of_one_program_has_it_as_its_entrypoint(tmp_path: Path):
    (tmp_path / "pause").write_bytes(b"program")

    write_image(tmp_path / "pause.tar", "localhost/pause:1", tmp_path / "pause")
    config = unpack_image(tmp_path / "pause.tar", tmp_path / "root")

    assert config == {"Entrypoint": ["/pause"]}
    assert (tmp_path / "root" / "pause").read_bytes() == b"program"
    assert (tmp_path / "root" / "pause").stat().st_mode & 0o111


def test_the_archive_names_the_image(tmp_path: Path):
    (tmp_path / "pause").write_bytes(b"program")

    write_image(tmp_path / "pause.tar", "localhost/pause:1", tmp_path / "pause")

    with tarfile.open(tmp_path / "pause.tar") as archive:
        manifest = json.loads(archive.extractfile("manifest.json").read())
    assert manifest[0]["RepoTags"] == ["localhost/pause:1"]
