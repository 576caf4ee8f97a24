"""A cluster for the commands, and the commands in an empty folder."""

import pytest

import softgrad.cli


@pytest.fixture(scope="session")
def address():
    """The address of a scheduler with two workers, which are threads of this process."""
    from distributed import LocalCluster  # noqa: PLC0415

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command in an empty folder; returns its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        with pytest.raises(SystemExit) as stop:
            softgrad.cli.main(list(map(str, arguments)))
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return stop.value.code, out, err

    return command
