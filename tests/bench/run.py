#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Measure Lamina, the bare machine and KVM on both emulators, side by side, in instructions.

Writes BUILD/bench/results.json and results.svg and prints the table. With -k only some of the
measurements are made; the others stay as they were in results.json. docs/performance.md says how.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import platform
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), HERE]
import goals  # noqa: E402
import keys  # noqa: E402
import plot  # noqa: E402
import table  # noqa: E402
from lib.report import FAIL, Report  # noqa: E402
from lib import baseline, target  # noqa: E402
import measure  # noqa: E402


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("-k", action="append", default=[], metavar="TEXT",
                        help="only measurements with TEXT in their names; several: any of them")
    parser.add_argument("--on", choices=keys.HOSTS, help="on one emulator only")
    parser.add_argument("--list", action="store_true", help="print the names, run nothing")
    parser.add_argument("--no-run", action="store_true", help="show what results.json has")
    parser.add_argument("--docs", metavar="FILE", help="put its tables there, between the markers")
    parser.add_argument("--baseline", metavar="FILE", help="make its round trips the baseline")
    return parser.parse_args()


def first_line(*argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError:
        return "not installed"
    return ((done.stdout or done.stderr).strip().splitlines() or ["unknown"])[0]


def describe_host(build):
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "commit": first_line("git", "-C", HERE, "rev-parse", "--short=12", "HEAD"),
        "compiler": first_line(os.environ.get("CC", "gcc"), "--version"),
        "qemu": first_line(os.environ.get("QEMU", "qemu-system-x86_64"), "--version"),
        "bochs": first_line("dpkg-query", "-W", "-f", "Bochs ${Version}", "bochs"),
        "kernel": first_line("sh", "-c", f"strings -n 20 {build}/demo/vmlinuz | grep -m 1 '(debian-'"),
        "machine": f"{os.cpu_count()} cores, Linux {platform.release()}",
    }


def merge(results, host, measured):
    for env, values in measured.items():
        results["results"].setdefault(host, {}).setdefault(env, {}).update(values)


class Queue:
    """Measurements for two workers. Each begins with an emulator of its own, so that the report is
    in order, and then helps the other one from the end."""

    def __init__(self, tests):
        self.lanes = {host: collections.deque(t for t in tests if t.host == host)
                      for host in keys.HOSTS}
        self.lock = threading.Lock()

    def take(self, host):
        with self.lock:
            if self.lanes[host]:
                return self.lanes[host].popleft()
            longest = max(self.lanes.values(), key=len)
            return longest.pop() if longest else None


def work(host, queue, args, report, results):
    while test := queue.take(host):
        outcome = target.run(test, args.build, report.folder)
        report.add(outcome)
        with queue.lock:
            if outcome.outcome == FAIL:
                results["failed"].append(test.name)
            merge(results, test.host, measure.taken.pop(test.name, {}))
            save(args.build, results)


def save(build, results):
    """After each measurement, so that an interrupted run leaves what it had."""
    results["goals"] = goals.judge(results)
    folder = os.path.join(build, "bench")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "results.json")
    with open(path + ".tmp", "w") as f:
        json.dump(results, f, indent="\t")
        f.write("\n")
    os.replace(path + ".tmp", path)


def load(build):
    try:
        with open(os.path.join(build, "bench", "results.json")) as f:
            return json.load(f)
    except (OSError, ValueError):
        return {}


def show(build, results):
    print(table.text(table.sections(results)))
    path = os.path.join(build, "bench", "results.svg")
    with open(path, "w") as f:
        f.write(plot.svg(results))
    print(f"\n{os.path.join(build, 'bench', 'results.json')} and {path}")


def rewrite(path, results):
    """The part of a document between two comments becomes the tables of today."""
    with open(path) as f:
        before, begin, rest = f.read().partition("<!-- results -->\n")
        _, end, after = rest.partition("<!-- end of results -->\n")
    if not begin or not end:
        sys.exit(f"error: {path}: no comments 'results' and 'end of results'")
    with open(path, "w") as f:
        f.write(before + begin + "\n" + table.markdown(table.sections(results)) + "\n" + end + after)


def stored(args):
    """What can be done with the last results."""
    results = load(args.build)
    if not results:
        sys.exit(f"error: there is no {args.build}/bench/results.json; make bench makes it")
    results["goals"] = goals.judge(results)
    if args.docs:
        rewrite(args.docs, results)
    if args.baseline:
        baseline.write(args.baseline, measure.deterministic(results))
    if args.no_run:
        show(args.build, results)
    return 0


def measure_all(args, tests, results):
    report = Report(os.path.join(os.path.abspath(args.build), "bench", "logs"))
    merge(results, "build", measure.sources_and_image(args.build))
    queue = Queue(tests)
    # What is counted does not depend on how busy this machine is: two cores' worth of work.
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(keys.HOSTS)) as pool:
        for worker in [pool.submit(work, host, queue, args, report, results)
                       for host in keys.HOSTS]:
            worker.result()
    return 1 if results["failed"] else 0


def main():
    args = parse_args()
    if args.no_run or args.docs or args.baseline:
        return stored(args)
    tests = [t for t in measure.discover() if args.on in (None, t.host)
             and (not args.k or any(k in t.name for k in args.k))]
    if args.list:
        print("\n".join(t.name for t in tests))
        return 0
    results = load(args.build) if args.k or args.on else {}
    results = {"host": describe_host(args.build), "unit": "instructions", "failed": [],
               "results": results.get("results", {}), "goals": []}
    start = time.monotonic()
    status = measure_all(args, tests, results)
    results["seconds"] = round(time.monotonic() - start)
    save(args.build, results)
    show(args.build, results)
    print(f"{len(tests)} measurements in {results['seconds']} s"
          + "".join(f"; FAILED: {name}" for name in results["failed"]))
    return status


if __name__ == "__main__":
    sys.exit(main())
