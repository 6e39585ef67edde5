"""Prints the tables of one run: report.py <results folder>, which holds raw/*.json."""

import json
import sys
from pathlib import Path

from goals import GOALS
from measurements import Measurements, elements
from plot import forward_kl_plot

# Tasks shown with every column: bytes the task must move per element.
FULL_TABLES = {"forward_kl": 12, "forward_kl_bfloat16": 6, "value_only": 8}
MOVES_MORE = {"value_and_gradient": 12}

# Tasks shown as ratios to one contender: title, baseline.
RELATIVE_TABLES = {
    "divergences": ("every loss: time relative to forward KL", "forward_kl"),
    "batch_losses": ("losses across rows, vocabularies and ranks: time relative to forward KL", "forward_kl"),
    "near_equal": ("near-equal rows: time relative to independent rows", "independent_rows"),
    "attention_maps": ("attention KL of maps: time relative to ours", "distill"),
    "attention_products": ("attention KL from queries and keys: time relative to ours", "distill"),
    "dispatch": ("SIMD targets: time relative to the best", "AVX3"),
    "linkage": ("header-only for this machine: time relative to the compiled library", "compiled"),
    "expert_order": ("sorting a routing by expert: time relative to ours", "distill"),
    "dispatch_rows": ("rows to their experts: time relative to ours", "distill"),
    "combine_rows": ("weighted rows back to their tokens: time relative to ours", "distill"),
    "combine_rows_backward": ("the gradient of it: time relative to ours", "distill"),
    "top_k_gate": ("top-k gate, experts and weights: time relative to ours", "distill"),
    "top_k_gate_equal": ("top-k gate, all logits equal: time relative to ours", "distill"),
    "top_k_gate_training": ("top-k gate, forward and backward with Switch and z-loss: time relative to ours", "distill"),
    "deepseek_gate": ("DeepSeek-V3 gate: time relative to ours", "distill"),
    "hidden_states": ("losses on hidden states: time relative to the streaming memory floor", "floor_streaming"),
    "relations": ("losses on batches: time relative to their three products by Eigen", "products"),
    "flow": ("flow between layers: time relative to its four products by Eigen", "products"),
    "teacher_means": ("two teachers mixed: time relative to the mean of logits", "logits"),
    "teacher_measures": ("a number for each row: time relative to log_sum_exp", "log_sum_exp"),
    "softmax": ("softmax, log_softmax, log_sum_exp: time relative to one oneDNN softmax", "onednn_softmax"),
}
ERRORS = ("value_error", "output_error", "near_equal_value_error", "near_equal_output_error")
PAIRS = ("kl_and_labels", "kl_and_reverse")


def number(value, digits=3):
    return "-" if value is None else f"{value:.{digits}g}"


def rounded(value):
    return "-" if value is None else f"{value:.2f}"


def mebibytes(count):
    return "-" if count is None else f"{count / 2**20:.2f}"


def error_text(value):
    return f"{value:.0e}" if value else "-"


def thread_text(count):
    return "1 thread" if count == 1 else f"{count} threads"


def floors(data, task, shape, threads):
    return [name for name in data.contenders(task, shape, threads) if name.startswith("floor_")]


def measured(data, goal, shape, statistics):
    """The ratio or error a goal speaks of; None if something of it was not measured."""
    if goal.error:
        return data.counter(goal.task, shape, goal.threads, "distill", goal.error)
    tops = floors(data, goal.task, shape, goal.threads) if goal.top == "floor" else [goal.top]
    ratios = [data.ratio(goal.task, shape, (top, goal.threads), (goal.bottom, goal.threads), *statistics)
              for top in tops]
    return min((ratio for ratio in ratios if ratio is not None), default=None)


def aligned(header, rows):
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    return ["  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                      for i, (cell, width) in enumerate(zip(row, widths))) for row in [header, *rows]]


def markdown(header, rows):
    return ["| " + " | ".join(row) + " |" for row in [header, ["---", *["---:"] * (len(header) - 1)], *rows]]


def full_row(data, key, name, best_floor, reference, size):
    task, shape, threads = key
    seconds = data.seconds(*key, name)
    ratio = data.ratio(task, shape, (name, threads), (reference, threads))
    gigabytes = MOVES_MORE.get(name, size) * elements(shape) / seconds / 1e9
    return [
        name, f"{seconds * 1e3:.3f}", f"{data.seconds(*key, name, 'minimum') * 1e3:.3f}",
        number(int(shape.split("x")[0]) / seconds), number(gigabytes),
        f"{best_floor / seconds:.0%}" if best_floor else "-", rounded(ratio),
        mebibytes(data.counter(*key, name, "extra_bytes")),
        *(error_text(data.counter(*key, name, what)) for what in ERRORS),
    ]


def full_rows(data, key, size):
    names = data.contenders(*key)
    reference = next((name for name in ("distill", "value") if name in names), "")
    best_floor = min((data.seconds(*key, name) for name in floors(data, *key)), default=None)
    return [full_row(data, key, name, best_floor, reference, size) for name in names]


def full_table(data, task, bytes_per_element):
    header = ["", "ms", "best ms", "rows/s", "GB/s", "of floor", "x time of ours", "extra MiB", "value err",
              "grad err", "near: value", "near: grad"]
    for threads in (1, 2):
        for shape in data.shapes(task):
            rows = full_rows(data, (task, shape, threads), bytes_per_element)
            if rows:
                yield f"\n{task}, {shape}, {thread_text(threads)}"
                yield from aligned(header, rows)


def relative_rows(data, task, baseline):
    shapes = data.shapes(task)
    names = sorted({name for shape in shapes for name in data.contenders(task, shape, 1)},
                   key=lambda name: (name != baseline, name))
    rows = [[name, *(rounded(data.ratio(task, shape, (name, 1), (baseline, 1))) for shape in shapes)]
            for name in names]
    return ["", *shapes], rows


def objective_rows(data):
    shapes = data.shapes("objective")
    rows = [[name, *(rounded(data.ratio("objective", shape, (name + "_together", 1), (name + "_apart", 1)))
                     for shape in shapes)] for name in PAIRS]
    return ["", *shapes], rows


def goal_rows(data):
    rows = []
    for goal in GOALS:
        text = error_text if goal.error else rounded
        for shape in goal.shapes:
            ratio = measured(data, goal, shape, (goal.statistic, "median"))
            best = measured(data, goal, shape, ("minimum", "minimum"))
            if ratio is not None:
                rows.append([f"{goal.task} {shape}", str(goal.threads), goal.label, text(ratio), text(best),
                             goal.text(), "ok" if goal.met_by(ratio) else "SHORT"])
    return ["task", "threads", "", "measured", "best/best", "goal", ""], rows


def headline_rows(data, threads):
    """Forward KL, one column per shape: what a reader wants to know first."""
    task = "forward_kl"
    shapes = data.shapes(task)
    ours = ("distill", threads)

    def against(name, statistic="median"):
        return [number(data.ratio(task, shape, (name, threads), ours, statistic)) for shape in shapes]

    def share(shape):
        ratios = [data.ratio(task, shape, (name, threads), ours) for name in floors(data, task, shape, threads)]
        return f"{min(ratios):.0%}" if ratios and None not in ratios else "-"

    def counters(name, what, text):
        return [text(data.counter(task, shape, threads, name, what)) for shape in shapes]

    speed_up = [number(data.ratio(task, shape, ("distill", 1), ours)) if threads > 1 else "-" for shape in shapes]
    milliseconds = [data.seconds(task, shape, threads, "distill") for shape in shapes]
    rows = [
        ["time, ms", *(number(None if s is None else s * 1e3) for s in milliseconds)],
        ["x faster than libtorch eager (its best run)", *against("torch_eager", "minimum")],
        ["x faster than libtorch, gradient by hand", *against("torch_analytic")],
        ["x faster than three oneDNN primitives", *against("onednn_chain")],
        ["time relative to one oneDNN softmax",
         *(rounded(data.ratio(task, shape, ours, ("onednn_softmax", threads))) for shape in shapes)],
        ["x faster than Eigen arrays", *against("eigen")],
        ["x faster than xtensor with xsimd", *against("xtensor")],
        ["x faster than one thread", *speed_up],
        ["share of the memory floor", *(share(shape) for shape in shapes)],
        ["extra memory, MiB", *counters("distill", "extra_bytes", mebibytes)],
        ["extra memory of libtorch eager, MiB", *counters("torch_eager", "extra_bytes", mebibytes)],
        ["relative error of the value", *counters("distill", "value_error", error_text)],
        ["... of libtorch eager", *counters("torch_eager", "value_error", error_text)],
        ["relative error, near-equal rows", *counters("distill", "near_equal_value_error", error_text)],
        ["... of libtorch eager", *counters("torch_eager", "near_equal_value_error", error_text)],
    ]
    return [thread_text(threads), *shapes], [row for row in rows if set(row[1:]) != {"-"}]


def titled_tables(data):
    """The compact tables, (title, header, rows), as far as they were measured."""
    tables = [(f"forward KL, value and gradient, T = 2, {thread_text(threads)}", *headline_rows(data, threads))
              for threads in (1, 2)]
    tables += [(title, *relative_rows(data, task, baseline))
               for task, (title, baseline) in RELATIVE_TABLES.items() if data.shapes(task)]
    tables.append(("two losses in one call: time relative to two calls", *objective_rows(data)))
    tables.append(("goals", *goal_rows(data)))
    return [table for table in tables if len(table[1]) > 1 and table[2]]


def main(folder):
    data = Measurements(folder / "raw")
    lines = [line for task, size in FULL_TABLES.items() for line in full_table(data, task, size)]
    document = []
    for title, header, rows in titled_tables(data):
        lines += ["", f"== {title}", *aligned(header, rows)]
        document += [f"### {title}", "", *markdown(header, rows), ""]
    (folder / "table.txt").write_text("\n".join(lines) + "\n")
    (folder / "table.md").write_text("\n".join(document))
    (folder / "results.json").write_text(json.dumps(
        {"context": data.context, "measurements": list(data.rows())}, indent=1))
    if data.shapes("forward_kl"):
        (folder / "forward_kl.svg").write_text(forward_kl_plot(data))
    print("\n".join(lines))
    print(f"\nwritten to {folder}: {' '.join(sorted(path.name for path in folder.iterdir()))}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
