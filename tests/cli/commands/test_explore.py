"""`softgrad explore` as a user meets it."""

import webbrowser
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest

import softgrad.cli
from softgrad import explorer


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run `softgrad explore` in an empty folder; returns its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def command(*arguments):
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main(["explore", *map(str, arguments)])
        return stop.value.code, *capsys.readouterr()

    return command


@pytest.fixture
def opened(monkeypatch):
    """The addresses that a browser was asked to open; none is started."""
    addresses = []
    monkeypatch.setattr(webbrowser, "open", lambda address: addresses.append(address) or True)
    return addresses


@pytest.mark.parametrize("file", ["explorer.html", "a b.HTM"])
def test_output_is_written_and_no_browser_is_opened(run, opened, tmp_path, file):
    assert run("--output", file) == (0, f"Explorer written to {file}\n", "")
    assert (tmp_path / file).read_text(encoding="utf-8") == explorer.page()
    assert opened == []


def test_without_output_a_browser_opens_a_temporary_file(run, opened):
    code, out, err = run()
    path = Path(url2pathname(urlparse(opened[0]).path))
    assert (code, out, err) == (0, f"Explorer opened in the browser from {path}\n", "")
    assert path.read_text(encoding="utf-8") == explorer.page()
    assert len(opened) == 1


def test_a_browser_that_cannot_be_started_leaves_the_file(run, monkeypatch, tmp_path):
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    code, out, err = run()
    (path,) = tmp_path.glob("*/explorer.html")
    assert (code, out) == (1, "")
    assert err == f"error: no browser could be started; open {path} in one, or write --output FILE\n"
    assert path.read_text(encoding="utf-8") == explorer.page()


@pytest.mark.parametrize(
    "output, message",
    [
        ("page.txt", "--output page.txt: expected a name ending in .html, such as explorer.html"),
        ("page", "--output page: expected a name ending in .html, such as explorer.html"),
        ("no/page.html", "--output no/page.html: there is no folder no; create it, or name another file"),
        (".", "--output . is not a file; name one to write, such as ./explorer.html"),
    ],
)
def test_a_file_that_cannot_be_the_page_is_refused(run, opened, tmp_path, output, message):
    code, out, err = run("--output", output)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1
    assert (opened, list(tmp_path.iterdir())) == ([], [])


def test_help(run):
    code, out, _ = run("--help")
    assert code == 0
    assert "--output" in out
    assert "Explore softmax, its Jacobian" in out
