import fcntl
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from softgrad._atomic_write import write_atomically


def test_a_file_is_written_and_replaced(tmp_path):
    for content in (b"first, and longer", b"second", b""):
        write_atomically(tmp_path / "f", content)
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
            write_atomically(tmp_path / name, b"later")
    assert [file.name for file in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_bytes() == b"former"


def test_the_name_comes_after_the_content_is_on_the_disk(tmp_path, monkeypatch):
    order = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (order.append(os.fstat(file).st_size), sync(file)))
    monkeypatch.setattr(os, "replace", lambda *names: (order.append("replace"), replace(*names)))
    write_atomically(tmp_path / "f", b"12345")
    assert order == [5, "replace"]


def test_places_that_cannot_hold_a_file_are_refused(tmp_path):
    with pytest.raises(OSError, match="no-such-folder"):
        write_atomically(tmp_path / "no-such-folder" / "f", b"")
    with pytest.raises(OSError, match="is not a file; expected the name of a file to write"):
        write_atomically(tmp_path, b"")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="pipe is not a file"):
        write_atomically(tmp_path / "pipe", b"")
    assert [file.name for file in tmp_path.iterdir()] == ["pipe"]


def test_a_link_keeps_pointing_to_its_file(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "f")
    write_atomically(tmp_path / "link", b"content")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "f").read_bytes() == b"content"


def test_the_file_has_the_permissions_of_any_new_file(tmp_path):
    write_atomically(tmp_path / "f", b"")
    (tmp_path / "other").touch()
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_the_longest_name_is_no_too_long_name(tmp_path):
    write_atomically(tmp_path / ("n" * 255), b"content")
    assert (tmp_path / ("n" * 255)).read_bytes() == b"content"
    write_atomically(tmp_path / ("é" * 127), b"content")
    assert (tmp_path / ("é" * 127)).read_bytes() == b"content"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o666, 0o755])
def test_a_replaced_file_keeps_its_permissions(tmp_path, mode):
    (tmp_path / "f").touch()
    (tmp_path / "f").chmod(mode)
    (tmp_path / "link").symlink_to(tmp_path / "f")
    for name in ("f", "link"):
        write_atomically(tmp_path / name, b"later")
        assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == mode


def test_no_other_user_reads_the_part_of_a_private_file(tmp_path, monkeypatch):
    (tmp_path / "f").touch(mode=0o600)
    modes = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (modes.append(stat.S_IMODE(os.fstat(file).st_mode)), sync(file)))
    write_atomically(tmp_path / "f", b"secret")
    assert modes == [0o600]


def test_threads_that_write_to_one_path_leave_one_whole_file_at_any_time(tmp_path):
    path = tmp_path / "f"
    contents = [bytes([letter]) * 100_000 for letter in b"abcd"]
    write_atomically(path, contents[0])
    writers = [content for content in contents for _ in range(10)]
    with ThreadPoolExecutor(8) as pool:
        written = [pool.submit(write_atomically, path, content) for content in writers]
        while not all(future.done() for future in written):
            assert path.read_bytes() in contents
        assert [future.exception() for future in written] == [None] * len(writers)
    assert [file.name for file in tmp_path.iterdir()] == ["f"]


KILLED = """
import os, signal, sys
from softgrad._atomic_write import write_atomically

os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
write_atomically(sys.argv[1], b"half")
"""


def test_what_a_killed_process_left_is_cleared_by_the_next_write(tmp_path):
    path = tmp_path / "f"
    write_atomically(path, b"former")
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    assert path.read_bytes() == b"former"
    write_atomically(path, b"later")
    assert [file.name for file in tmp_path.iterdir()] == ["f"]


def test_only_unlocked_parts_of_the_same_file_are_cleared(tmp_path):
    kept = ["f.part", ".f.part", ".f.new.part", ".g.0123456789abcdef.part", ".f.0123456789abcdef.part"]
    for name in kept:
        (tmp_path / name).touch()
    for name in (f".f.{os.getpid()}.part", ".f.fedcba9876543210.part"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / ".f.0.part")
    (tmp_path / ".f.1.part").symlink_to(tmp_path / "f.part")
    (tmp_path / ".f.2.part").mkdir()
    with open(tmp_path / kept[-1], "wb") as being_written:
        fcntl.flock(being_written, fcntl.LOCK_EX)
        write_atomically(tmp_path / "f", b"content")
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {"f", *kept, ".f.0.part", ".f.1.part", ".f.2.part"}


def test_a_part_that_is_deleted_before_it_is_locked_is_made_anew(tmp_path, monkeypatch):
    lock = fcntl.flock
    deleted = []

    def late(descriptor, operation):
        if not deleted:
            (part,) = tmp_path.iterdir()
            part.unlink()
            deleted.append(part)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    write_atomically(tmp_path / "f", b"content")
    assert deleted
    assert [file.name for file in tmp_path.iterdir()] == ["f"]


def test_without_locks_parts_are_written_and_left(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    (tmp_path / ".f.0123456789abcdef.part").touch()
    write_atomically(tmp_path / "f", b"content")
    assert {file.name for file in tmp_path.iterdir()} == {"f", ".f.0123456789abcdef.part"}
