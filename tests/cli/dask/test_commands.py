"""The commands with --dask: the same models, figures and predictions as from one file in memory."""

import io
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from softgrad.cli import _metrics, _progress
from softgrad.cli._saved_model import open_model
from softgrad.cli._tables import _file_splitting

N = 300


def frame(rows=N):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 2))
    colour = np.array(["red", "blue", "sea, green"])[(x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)]
    y = np.array(["01", "1", "x"])[np.digitize(x.sum(axis=1) + rng.gumbel(size=rows), [0, 1])]
    y[:130] = np.where(y[:130] == "x", "1", y[:130])  # the first files have labels that look like numbers
    return pd.DataFrame({"a": x[:, 0], "n": rng.integers(0, 9, rows), "colour": colour, "y": y, "b": x[:, 1]})


def write(table, kind):
    """Write a table as one file, and as four of a folder, one of them with its columns in another order."""
    Path("parts").mkdir()
    cut = [0, 1, 130, 131, len(table)]
    save = "to_csv" if kind == "csv" else "to_parquet"
    getattr(table, save)(f"whole.{kind}", index=False)
    for i, (start, stop) in enumerate(itertools.pairwise(cut)):
        part = table.iloc[start:stop]
        getattr(part[part.columns[::-1]] if i == 2 else part, save)(f"parts/{i}.{kind}", index=False)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_model_is_the_one_of_the_whole_table(run, address, kind):
    write(frame(), kind)
    options = ["--target", "y", "--test-fraction", 0, "--missing", "most-frequent", "--only", "a,n,colour,b"]
    options += ["--class-weight", "01=3"]
    assert run("fit", f"whole.{kind}", *options, "--output", "m")[0] == 0
    code, out, _ = run("fit", f"parts/*.{kind}", "--dask", address, *options)
    assert code == 0
    assert f"y from parts/*.{kind}: 300 rows, 6 features, 3 classes" in out
    assert Path("parts.softgrad.safetensors").read_bytes() == Path("m").read_bytes()

    figures = []
    for table, *dask in ([f"whole.{kind}"], ["parts", "--dask", address]):
        code, out, _ = run("evaluate", "m", table, *dask, "--json")
        assert code == 0
        figures.append(json.loads(out))
    for name in ("rows", "accuracy", "classes", "confusion", "prior_loss"):
        assert figures[0][name] == figures[1][name]
    for name in ("loss", "brier", "confidence", "calibration_error"):
        assert figures[0][name] == pytest.approx(figures[1][name], rel=1e-12)


@pytest.mark.parametrize("columns", [["--keep", "n,colour"], ["--proba"]])
def test_predictions_are_parquet_files_in_the_order_of_the_table(run, address, columns):
    write(frame(), "csv")
    run("fit", "whole.csv", "--target", "y", "--output", "m")
    _, expected, _ = run("predict", "m", "whole.csv", *columns)
    code, out, err = run("predict", "m", "parts", "--dask", address, "--output", "p", *columns)
    assert (code, out) == (0, "")
    assert err.endswith("predictions for 300 rows written to p as 4 files\n")
    files = sorted(Path("p").iterdir())
    assert [file.name for file in files] == [f"part-{i:05d}.parquet" for i in range(4)]
    found = pd.concat(map(pd.read_parquet, files))
    if columns == ["--proba"]:
        whole = pd.read_csv(io.StringIO(expected), dtype={"y": str})
        assert found["y"].tolist() == whole["y"].tolist()
        # BLAS rounds the products of few rows in another order.
        np.testing.assert_allclose(found.drop(columns="y"), whole.drop(columns="y"), rtol=1e-13)
    else:
        assert found.to_csv(index=False) == expected


def test_rows_are_held_out_by_number_and_seed(run, address):
    write(frame(), "csv")
    counts = []
    for seed in (0, 0, 1):
        code, out, _ = run(
            "fit", "parts", "--target", "y", "--dask", address, "--json", "--seed", seed, "--test-fraction", 0.3
        )
        assert code == 0
        counts.append(json.loads(out)["rows"])
    assert counts[0] == counts[1] != counts[2]
    assert counts[0]["training"] + counts[0]["held_out"] == N
    assert all(60 < count["held_out"] < 120 for count in counts)


def test_held_out_rows_are_not_trained_on(run, address):
    """A category and a mean of the held-out rows do not count, and the figures are those of scikit-learn's rows."""
    table = frame()
    write(table, "csv")
    run("fit", "parts", "--target", "y", "--dask", address, "--json", "--report", "r.html", "--seed", 5)
    assert Path("r.html").read_text().count("held-out") > 0
    from softgrad.cli._dask._description import held_out_mask  # noqa: PLC0415
    from softgrad.cli._tables._file_part import FilePart  # noqa: PLC0415
    from softgrad.cli._training_data import HeldOut  # noqa: PLC0415

    starts = [0, 2, 132, 134]  # a line after the last row of a file counts
    lengths = [1, 129, 1, 169]
    held = np.concatenate([
        held_out_mask(HeldOut(0.2, 5), FilePart(Path("x"), 0, 0, 0, 0, start), rows)
        for start, rows in zip(starts, lengths, strict=True)
    ])  # fmt: skip
    table[~held].to_csv("train.csv", index=False)
    run("fit", "train.csv", "--target", "y", "--test-fraction", 0, "--output", "m")
    one, other = (open_model(Path(name)).model for name in ("m", "parts.softgrad.safetensors"))
    np.testing.assert_array_equal(one.coef_, other.coef_)


def test_arrays(run, address):
    table = frame()
    x, y = table[["a", "n", "b"]].to_numpy(np.float32), (table["y"] == "1").to_numpy().astype(np.int32)
    Path("parts").mkdir()
    np.save("x.npy", x)
    np.save("y.npy", y)
    np.save("xy.npy", np.c_[x, y])
    for i, rows in enumerate((slice(0, 200), slice(200, 201), slice(201, N))):
        np.save(f"parts/x{i}.npy", x[rows])
        np.save(f"parts/xy{i}.npy", np.c_[x, y][rows])
    for name, target in (("x", "y.npy"), ("xy", "-1")):
        assert run("fit", f"{name}.npy", "--target", target, "--test-fraction", 0, "--output", "m")[0] == 0
        pattern = f"parts/{name}?.npy"
        assert run("fit", pattern, "--target", target, "--test-fraction", 0, "--output", "d", "--dask", address)[0] == 0
        assert Path("d").read_bytes() == Path("m").read_bytes()
        assert run("evaluate", "d", pattern, "--target", target, "--dask", address)[0] == 0


def test_large_files_are_read_in_parts(run, address, monkeypatch):
    """Threads of this process are the workers, so that they see the limits."""
    table = frame().assign(note=['line\nof "two", lines'] * 100 + ["x"] * 200)
    table.to_csv("t.csv", index=False)
    table.to_parquet("t.parquet", row_group_size=40)
    options = ["--target", "y", "--test-fraction", 0]
    run("fit", "t.csv", *options, "--output", "m")
    monkeypatch.setattr(_file_splitting, "_TEXT_BYTES", 1500)
    monkeypatch.setattr(_file_splitting, "_CHUNK", 700)
    monkeypatch.setattr(_file_splitting, "_NUMBERS", 500)
    for name, least in (("t.csv", 8), ("t.parquet", 3)):
        assert run("fit", name, *options, "--dask", address, "--output", "d")[0] == 0
        assert Path("d").read_bytes() == Path("m").read_bytes()
        run("predict", "d", name, "--dask", address, "--output", f"p{name}")
        assert len(list(Path(f"p{name}").iterdir())) >= least


def test_labels_of_several_kinds_are_text(run, address):
    Path("0.csv").write_text("a,y\n" + "1,007\n2,8\n" * 5)
    Path("1.csv").write_text("a,y\n" + "1,x\n2,8\n" * 5)
    code, *_ = run("fit", "?.csv", "--target", "y", "--dask", address, "--test-fraction", 0, "--output", "m")
    assert code == 0
    assert open_model(Path("m")).model.classes_.tolist() == ["007", "8", "x"]


def test_values_filled_in_and_unknown_are_counted_over_all_parts(run, address):
    table = frame()
    table.loc[[3, 200, 299], "a"] = np.nan
    table.loc[250, "colour"] = None
    write(table, "csv")
    options = ["--target", "y", "--test-fraction", 0, "--missing", "mean"]
    code, _, err = run("fit", "parts", *options, "--dask", address, "--output", "d")
    assert code == 0
    mean = open_model(Path("d")).encoding.columns[0].fill
    assert mean == pytest.approx(table["a"].mean(), rel=1e-14)
    assert f"warning: column 'a': 3 rows without a value, filled in with {mean!r}\n" in err
    later = frame()
    later.loc[[140, 170], "colour"] = "new"
    later.to_csv("parts/3.csv", index=False)
    _, _, err = run("evaluate", "d", "parts", "--dask", address)
    assert re.search(r"column 'colour': 2 rows with text .* first 'new' in data row 141 of \S+/parts/3.csv;", err)


@pytest.mark.parametrize(
    "files, options, message",
    [
        ([], [], "no file matches '*.csv' in "),
        (["a,y\n1,p\n2,q\n", "b,y\n1,p\n"], [], "1.csv lacks columns of "),
        (["a,y\n1,p\n2,q\n", "a,b,y\n1,2,p\n"], [], "0.csv lacks columns of "),
        (["a,y\n1,p\n2,q\n", "a,y\nred,p\n"], [], "column 'a' holds text, 'red' in "),
        (["a,y\n1,p\n2,q\n", "a,y\n1,q\n,p\n"], [], "1.csv: missing values in 2 rows: 'a' in 1; write --missing"),
        (["a,y\n1,p\n2,q\n", "a,y\n1,q\n,p\n"], [], "the first is in data row 2"),
        (["a,y\n1,p\n2,q\n", "a,y\n1,q\n1,\n"], [], "1.csv: column 'y', data row 2: no label"),
        (["a,y\n1,p\n2,q\n", "a,y\n1,q\ninf,p\n"], [], "1.csv: column 'a', data row 2: 'inf'; expected a finite"),
        (["a,y\n1,p\n"], ["--missing", "median"], "--missing median needs all values at once; with --dask write"),
        (["a,y\n1,p\n"], ["--cv", "3"], "--cv 3 needs all rows in memory; with --dask write --C"),
        (["a,y\n1,p\n"], ["--weight", "a"], "--weight a needs all rows in memory; with --dask leave it out"),
        (["a,y\n1,p\n"], ["--groups", "a"], "--groups a needs all rows in memory; with --dask leave it out"),
        (["a,y\n1,p\n2,q\n"], ["--class-weight", "r=2"], "--class-weight r=2: no row has the label 'r'; the labels"),
        (["a,y\n1,p\n2,q\n"] * 9, ["--solver", "newton-cg"], "--solver newton-cg keeps the probabilities"),
        (["a,y\n1,p\n2,q\n"], ["--test-fraction", "0.999"], "--test-fraction 0.999 leaves "),
        (["1 1:2\n"], ["--format", "libsvm"], "0.csv is read as libsvm; with --dask expected Parquet, CSV"),
    ],
)
def test_bad_tables_are_refused(run, address, tmp_path, files, options, message):
    for i, content in enumerate(files):
        (tmp_path / f"{i}.csv").write_text(content)
    fraction = [] if "--test-fraction" in options else ["--test-fraction", 0]
    code, out, err = run("fit", "*.csv", "--target", "y", "--dask", address, *fraction, *options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.splitlines()[-1].startswith("error: ")
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_failed_prediction_leaves_nothing(run, address, tmp_path):
    write(frame(), "csv")
    run("fit", "whole.csv", "--target", "y", "--output", "m")
    before = sorted(tmp_path.iterdir())
    Path("parts/3.csv").write_text("a,n,colour,y,b\n1,2,red,1,3\n1,2,red,1,\n")
    code, _, err = run("predict", "m", "parts", "--dask", address, "--output", "p")
    assert code == 2
    assert "parts/3.csv: column 'b', data row 2: a missing value" in err
    assert sorted(tmp_path.iterdir()) == before
    for output, message in (
        ("parts", "is not empty; name a new folder"),
        ("m", "is a file; with --dask name a folder"),
    ):
        code, _, err = run("predict", "m", "parts", "--dask", address, "--output", output)
        assert code == 2
        assert message in err
    assert run("predict", "m", "parts", "--dask", address)[2].startswith("error: --dask writes Parquet files; add")


def test_a_scheduler_that_does_not_answer(run, monkeypatch):
    from softgrad.dask import _part_tasks  # noqa: PLC0415

    monkeypatch.setattr(_part_tasks, "_SECONDS", 0.2)
    Path("t.csv").write_text("a,y\n1,p\n")
    code, out, err = run("fit", "t.csv", "--target", "y", "--dask", "tcp://127.0.0.1:9")
    assert (code, out) == (1, "")
    assert err.startswith("error: --dask: no scheduler answers at tcp://127.0.0.1:9: ")
    assert err.count("\n") == 1


def test_a_lost_scheduler_leaves_no_file(run, tmp_path, monkeypatch):
    from distributed import Client, LocalCluster  # noqa: PLC0415

    write(frame(), "csv")
    before = sorted(tmp_path.iterdir())
    with LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0", silence_logs=50) as cluster:

        def lose(self, iteration, note):
            with Client(cluster) as client:
                client.restart(wait_for_workers=False)

        monkeypatch.setattr(_progress._Lines, "iteration", lose)
        options = ["--target", "y", "--solver", "lbfgs", "--report", "r.html"]
        code, out, err = run("fit", "parts", *options, "--dask", cluster.scheduler_address)
    assert (code, out) == (1, "")
    assert err.startswith("error: --dask: the scheduler of the cluster was lost or restarted (")
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_sums_travel():
    """Sums of a worker that has no rows add up too."""
    empty = _metrics.sums_of(np.empty((0, 3)), np.empty(0, int))
    some = _metrics.sums_of(np.eye(3), np.arange(3))
    assert (empty + some).loss.value == some.loss.value
