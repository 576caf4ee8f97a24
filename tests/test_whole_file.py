import os
import stat

import pytest

from softgrad._whole_file import write_whole


def test_a_file_is_written_and_replaced(tmp_path):
    for content in (b"first, and longer", b"second", b""):
        write_whole(tmp_path / "f", content)
        assert (tmp_path / "f").read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=["disk full", "Ctrl-C"])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_nothing_half_written_remains(tmp_path, monkeypatch, step, error):
    (tmp_path / "f").write_bytes(b"former")

    def fail(*_):
        raise error

    monkeypatch.setattr(os, step, fail)
    for name in ("f", "new"):
        with pytest.raises(type(error)):
            write_whole(tmp_path / name, b"later")
    assert [file.name for file in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_bytes() == b"former"


def test_the_name_comes_after_the_content_is_on_the_disk(tmp_path, monkeypatch):
    order = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (order.append(os.fstat(file).st_size), sync(file)))
    monkeypatch.setattr(os, "replace", lambda *names: (order.append("replace"), replace(*names)))
    write_whole(tmp_path / "f", b"12345")
    assert order == [5, "replace"]


def test_places_that_cannot_hold_a_file_are_refused(tmp_path):
    with pytest.raises(OSError, match="no-such-folder"):
        write_whole(tmp_path / "no-such-folder" / "f", b"")
    with pytest.raises(OSError, match="is not a file; expected the name of a file to write"):
        write_whole(tmp_path, b"")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe is not a file"):
        write_whole(tmp_path / "pipe", b"")
    assert [file.name for file in tmp_path.iterdir()] == ["pipe"]


def test_a_link_keeps_pointing_to_its_file(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "f")
    write_whole(tmp_path / "link", b"content")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "f").read_bytes() == b"content"


def test_the_file_has_the_permissions_of_any_new_file(tmp_path):
    write_whole(tmp_path / "f", b"")
    (tmp_path / "other").touch()
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_the_longest_name_is_no_too_long_name(tmp_path):
    write_whole(tmp_path / ("n" * 255), b"content")
    assert (tmp_path / ("n" * 255)).read_bytes() == b"content"
