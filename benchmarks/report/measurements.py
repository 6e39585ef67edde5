"""What the benchmark processes wrote, and ratios of it."""

import json
import re
from collections import defaultdict
from pathlib import Path
from statistics import median

NAME = re.compile(r"(?P<task>[^/]+)/(?P<shape>[^/]+)/(?P<contender>[^/]+)/threads:(?P<threads>\d+)")
FILE = re.compile(r"-(?P<launch>\d+)\.json$")


class Measurements:
    """Seconds and counters by (task, shape, threads, contender), one entry per launch."""

    def __init__(self, folder):
        self._launches = defaultdict(dict)
        self.context = {}
        for path in sorted(Path(folder).glob("*.json")):
            content = json.loads(path.read_text())
            self.context = content["context"]
            self._add_file(content["benchmarks"], int(FILE.search(path.name)["launch"]))

    def _add_file(self, runs, launch):
        repetitions = defaultdict(list)
        for run in runs:
            if run["run_type"] == "iteration":
                name = NAME.match(run["name"])
                key = (name["task"], name["shape"], int(name["threads"]), name["contender"])
                repetitions[key].append(run)
        for key, group in repetitions.items():
            self._launches[key][launch] = {
                "median": median(run["median_s"] for run in group),
                "minimum": min(run["minimum_s"] for run in group),
                "counters": group[0],
            }

    def shapes(self, task):
        """In order of growing size, strided ones last."""
        return sorted({key[1] for key in self._launches if key[0] == task}, key=_size)

    def contenders(self, task, shape, threads):
        """distill first, then by name."""
        found = {key[3] for key in self._launches if key[:3] == (task, shape, threads)}
        return sorted(found, key=lambda name: (name != "distill", name))

    def seconds(self, task, shape, threads, contender, statistic="median"):
        """The median over launches; None if it was not measured."""
        launches = self._launches.get((task, shape, threads, contender))
        return median(launch[statistic] for launch in launches.values()) if launches else None

    def counter(self, task, shape, threads, contender, name):
        launches = self._launches.get((task, shape, threads, contender))
        return median(launch["counters"][name] for launch in launches.values()) if launches else None

    def ratio(self, task, shape, top, bottom, statistic="median", bottom_statistic="median"):
        """Time of `top` over time of `bottom`, each (contender, threads): per launch, then the median."""
        tops = self._launches.get((task, shape, top[1], top[0]), {})
        bottoms = self._launches.get((task, shape, bottom[1], bottom[0]), {})
        common = sorted(set(tops) & set(bottoms))
        if not common:
            return None
        return median(tops[launch][statistic] / bottoms[launch][bottom_statistic] for launch in common)

    def rows(self):
        """Everything, for results.json."""
        for (task, shape, threads, contender), launches in sorted(self._launches.items()):
            counters = next(iter(launches.values()))["counters"]
            yield {
                "task": task, "shape": shape, "threads": threads, "contender": contender,
                "median_s": median(launch["median"] for launch in launches.values()),
                "minimum_s": min(launch["minimum"] for launch in launches.values()),
                **{name: counters[name] for name in (
                    "extra_bytes", "value_error", "output_error",
                    "near_equal_value_error", "near_equal_output_error")},
            }


def _size(shape):
    extents, _, strided = shape.partition("-")
    rows, columns = (int(part) for part in extents.split("x"))
    return strided != "", columns, rows


def elements(shape):
    rows, columns = shape.partition("-")[0].split("x")
    return int(rows) * int(columns)
