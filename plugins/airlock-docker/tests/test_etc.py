"""What an image's /etc gets while it is built."""

from pathlib import Path

import pytest

from airlock_docker.inside import etc


@pytest.mark.parametrize("there", ["", "root:x:0:0:root:/root:/bin/bash", "root:x:0:0::/:/bin/sh\n# a comment\n"])
def test_users_of_the_image_stay_and_those_that_it_lacks_are_added(tmp_path: Path, there: str) -> None:
    (path := tmp_path / "passwd").write_text(there)
    new = ["root:x:0:0:root:/root:/bin/sh\n", "sandbox:x:62000:62000:sandbox:/tmp:/bin/sh\n"]
    for _ in range(2):
        etc.extend(str(path), new)
    kept = there if there[-1:] in ("", "\n") else f"{there}\n"
    assert path.read_text() == kept + "".join(new if not there else new[1:])


def test_a_list_that_is_not_there_is_made(tmp_path: Path) -> None:
    etc.extend(str(tmp_path / "group"), ["root:x:0:\n"])
    assert (tmp_path / "group").read_text() == "root:x:0:\n"
