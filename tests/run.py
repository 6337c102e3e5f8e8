#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Run Lamina's tests: on this machine (unit tests, fuzzers, checks of the sources) and on emulated
ones (target tests). docs/testing.md describes how to write them."""
import argparse
import concurrent.futures
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import hostside, target  # noqa: E402
from lib.report import FAIL, Report, Result  # noqa: E402

CHECKS = ("layering", "sizes", "mutants-check", "bench-mm-counts")


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("-k", action="append", default=[], metavar="TEXT",
                        help="only what has TEXT in its name; several: any of them")
    parser.add_argument("-j", type=int, default=os.cpu_count(), help="host tests at a time")
    parser.add_argument("--host", action="store_true", help="unit tests")
    parser.add_argument("--fuzz", action="store_true", help="fuzzers")
    parser.add_argument("--fuzz-seconds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=hostside.LIMIT, help="seconds for a unit test")
    parser.add_argument("--checks", action="store_true", help="checks of the sources")
    parser.add_argument("--target", action="store_true", help="tests on emulated machines")
    parser.add_argument("--bench", action="store_true", help="measurements on emulated machines")
    parser.add_argument("--on", choices=("qemu", "bochs"), help="target tests of one host only")
    parser.add_argument("--serial", action="store_true", help="one emulator at a time")
    parser.add_argument("--list", action="store_true", help="print the names, run nothing")
    args = parser.parse_args()
    if not (args.host or args.fuzz or args.checks or args.target or args.bench):
        args.host = args.fuzz = args.checks = args.target = True
    return args


def host_jobs(args, logs):
    """(name, function) of everything that runs on this machine."""
    jobs = []
    if args.checks:
        for check in CHECKS:
            jobs.append((f"check/{check}", lambda name, check=check: hostside.run_program(
                name, ["make", "--no-print-directory", check, f"BUILD={args.build}"],
                os.path.join(logs, f"{check}.log"))))
    if args.host:
        for name in hostside.sources_of("test"):
            path = os.path.join(args.build, "host", name)
            jobs.append((f"host/{name}", lambda name, path=path: hostside.unit_test(
                path, logs, args.limit)))
    if args.fuzz:
        for name in hostside.sources_of("fuzz"):
            path = os.path.join(args.build, "fuzz", name)
            jobs.append((f"fuzz/{name}", lambda name, path=path: hostside.fuzzer(
                path, logs, args.fuzz_seconds)))
    return jobs


def target_jobs(args, logs):
    if not (args.target or args.bench):
        return []
    jobs = []
    for test in target.discover():
        if (args.bench if test.bench else args.target) and args.on in (None, test.host):
            jobs.append((f"target/{test.name}",
                         lambda name, test=test: target.run(test, args.build, logs), test.host))
    return jobs


def run_lane(jobs, report):
    for name, function, _ in jobs:
        report.add(guarded(name, function))


def guarded(name, function):
    try:
        return function(name)
    except Exception as e:  # the runner itself or the machine it runs on: told like a failure
        return Result(name, FAIL, 0.0, f"{type(e).__name__}: {e}")


def main():
    args = parse_args()
    logs = os.path.join(os.path.abspath(args.build), "test-logs")
    report = Report(logs)

    def selected(jobs):
        return [j for j in jobs if not args.k or any(k in j[0] for k in args.k)]

    here, there = selected(host_jobs(args, logs)), selected(target_jobs(args, logs))
    if args.list:
        print("\n".join(job[0] for job in here + there))
        return 0
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, args.j)) as pool:
        for result in pool.map(lambda job: guarded(*job), here):
            report.add(result)
    # One QEMU and one Bochs at a time: two cores' worth of work.
    lanes = [[j for j in there if j[2] == host] for host in ("qemu", "bochs")]
    with concurrent.futures.ThreadPoolExecutor(max_workers=1 if args.serial else 2) as pool:
        for lane in [pool.submit(run_lane, lane, report) for lane in lanes]:
            lane.result()
    print(f"\n{len(report.results)} in {time.monotonic() - start:.0f} s; logs in {logs}")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
