"""The tables: fits beside others, passes, the model of a large cluster, and fits out of core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from benchmarks import tables

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from benchmarks.suites import Record, Report


def table(report: Report) -> RenderableType:
    """All tables, and the goals that are missed."""
    parts: list[RenderableType] = []
    records = report["cases"]
    beside = [record for record in records if "in_memory" in record]
    if beside:
        parts += [beside_memory_table(beside), ""]
    for record in records:
        if "peer" in record:
            parts += [beside_dask_ml_table(record), ""]
        if "passes" in record:
            parts += [pass_table(record), "", model_table(record["model"]), ""]
        if "from_files" in record:
            parts += [out_of_core_table(record), ""]
    return Group(*parts, *tables.goal_lines(report["summary"]["goals"]))


def beside_memory_table(records: list[Record]) -> Table:
    """The times of fits and passes in memory and on the cluster."""
    result = tables.new_table("work", "in memory", "one pass", "cluster", "one pass", "ratio", "goal")
    for record in records:
        cells = [
            tables.seconds(record[where][name]) for where in ("in_memory", "cluster") for name in ("median_s", "pass_s")
        ]
        goal = record["goals"][0] if record["goals"] else None
        result.add_row(record["title"], *cells, tables.times(record["ratio"]), tables.goal_cell(goal))
    return result


def beside_dask_ml_table(record: Record) -> Table:
    """The time of dask-ml, and that of softgrad until it is as good."""
    result = tables.new_table(record["title"], "dask-ml", "softgrad\nas good", "passes", "faster", "goal")
    ours = record["softgrad"]
    result.add_row(
        f"  {tables.counted(record['workers'], 'worker')}",
        tables.seconds(record["peer"]["median_s"]),
        tables.seconds(ours["median_s"]),
        f"{ours['passes']:.0f}",
        tables.times(record["ratio"]),
        tables.goal_cell(record["goals"][0]),
    )
    return result


def pass_table(record: Record) -> Table:
    """The costs of a pass for each number of workers."""
    result = tables.new_table(
        "one pass", "time", "client", "scheduler", "workers", "arguments", "nodes", "sent by\nworkers"
    )
    for shape in dict.fromkeys(tuple(each["shape"]) for each in record["passes"]):
        own = [each for each in record["passes"] if tuple(each["shape"]) == shape]
        tables.add_heading(result, tables.shape(shape))
        for each in own:
            times = [tables.seconds(each[name]) for name in ("median_s", "client_s", "scheduler_s", "workers_s")]
            sizes = [tables.size(each[name]) for name in ("argument_bytes", "node_bytes", "sent_by_workers_bytes")]
            result.add_row(f"  {tables.counted(each['workers'], 'worker')}", *times, *sizes)
    return result


def model_table(model: Record) -> Table:
    """The cost of a pass on a large cluster, as a model predicts it."""
    title = f"{model['rows']:.0e} × {model['features']} × {model['classes']} on {model['machines']} machines like this"
    result = tables.new_table(title.replace("e+0", "e").replace("e+", "e"), "one pass")
    result.add_row("  the rows of a machine", tables.seconds(model["rows_s"]))
    result.add_row("  latency of a round", tables.seconds(model["latency_s"]))
    for name in ("scheduler", "client"):
        cost = model[name]
        detail = f"{1e3 * cost['s_per_task']:.2f} ms a task, {1e9 * cost['s_per_byte']:.2f} s a GB"
        result.add_row(f"  {name}, {detail}", tables.seconds(cost["s"]))
    result.add_row(f"  all, {100 * model['share_of_rows']:.0f} % of it for the rows", tables.seconds(model["pass_s"]))
    result.add_row(f"  {model['nodes']} nodes to the client", tables.size(model["node_bytes"]))
    result.add_row("  arguments to the workers", tables.size(model["argument_bytes"]))
    return result


def out_of_core_table(record: Record) -> Table:
    """The times of fits from files, restarts, and the peak memory of the workers."""
    title = f"X of {tables.size(record['x_bytes'])}, {tables.times(record['x_in_memory'])} the workers' memory"
    result = tables.new_table(title, "fit", "one pass", "ratio", "restarts", "peak memory\nof a worker")
    tables.add_heading(result, record["title"])
    fit = record["from_files"]
    in_memory = [tables.seconds(record["memory_map"][name]) for name in ("fit_s", "pass_s")]
    result.add_row(f"  {tables.counted(record['workers'], 'thread')}, memory map", *in_memory)
    peaks = "" if fit["peaks"] is None else f"{tables.size(max(fit['peaks']))} of {tables.size(record['memory_limit'])}"
    times = tables.seconds(fit["fit_s"]), tables.seconds(fit["pass_s"]), tables.times(record["ratio"])
    result.add_row(f"  {tables.counted(record['workers'], 'worker')}", *times, str(fit["restarts"]), peaks)
    return result
