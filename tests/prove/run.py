#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Analyse mm/ with Frama-C's Eva: no run-time error but the ones that alarms.txt explains.

usage: tests/prove/run.py [--build DIR] [-k SUBSTRING] [-j JOBS]

A driver is tests/prove/X.c; `// sources:` names what it is linked with, `// options:` adds to Eva's,
`// small: N` gives tables 2^N entries.
"""
import argparse
import concurrent.futures
import csv
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KNOWN = HERE / "alarms.txt"
LIMIT_S = 400
CPP = f"-I{ROOT} -I{ROOT}/include -include {HERE}/prove.h"
EVA = ["-eva", "-eva-precision", "5", "-eva-unroll-recursive-calls", "12", "-eva-no-print",
       "-eva-msg-key=-initial-state"]


@dataclasses.dataclass
class Result:
    driver: str
    seconds: float = 0
    alarms: list = dataclasses.field(default_factory=list)
    statements: str = "-"
    checks: str = "-"
    problem: str = ""


def tagged(driver, tag):
    text = (HERE / f"{driver}.c").read_text()
    return " ".join(re.findall(rf"^// {tag}:(.*)$", text, re.M)).split()


def sources(driver):
    """In the order named; a pattern stands for the files that there are."""
    found = [sorted(str(p) for p in ROOT.glob(s))
             for s in tagged(driver, "sources")]
    return [path for paths in found for path in paths]


def shrink(folder, bits):
    """A copy of spte.h in which tables have 2^bits entries: frama-c looks here first."""
    text = (ROOT / "mm/spte.h").read_text()
    for name, value in (("SPTE_PER_TABLE", f"{1 << bits}u"), ("SPTE_LEVEL_SHIFT", f"{bits}")):
        text, n = re.subn(rf"^(#define {name}\s+)\S+", rf"\g<1>{value}", text, flags=re.M)
        if n != 1:
            raise SystemExit(f"run.py: mm/spte.h does not define {name} as expected")
    (folder / "mm").mkdir()
    (folder / "mm/spte.h").write_text(text)


def read_known():
    """{(driver, file, function, kind, property)}: each such line of alarms.txt."""
    known = set()
    for line in KNOWN.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            known.add(tuple(part.strip() for part in line.split("|")))
    return known


def read_alarms(driver, table):
    with open(table, newline="") as f:
        rows = csv.reader(f, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows)
        for directory, file, line, function, kind, _status, text in rows:
            if function.startswith("Frama_C_show_each"):
                continue
            path = os.path.relpath(os.path.join(directory, file), ROOT)
            key = (driver, path, function, kind, " ".join(text.split()))
            yield key, line


def number(pattern, text):
    m = re.search(pattern, text)
    return m.groups() if m else None


def run(driver, build):
    result = Result(driver)
    folder = build / driver
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    log, table = folder / "log", folder / "alarms.csv"
    small = tagged(driver, "small")
    if small:
        shrink(folder, int(small[0]))
    args = ["frama-c", "-machdep", "gcc_x86_64", "-c11", f"-cpp-extra-args={CPP}",
            "-kernel-warn-key", "annot-error=abort", str(HERE / f"{driver}.c"),
            *sources(driver), *EVA, *tagged(driver, "options"),
            "-then", "-report-csv", str(table), "-report-no-proven"]
    begin = time.monotonic()
    try:
        with open(log, "w") as f:
            status = subprocess.run(args, cwd=folder, stdout=f, stderr=subprocess.STDOUT,
                                    stdin=subprocess.DEVNULL, timeout=LIMIT_S,
                                    check=False).returncode
    except subprocess.TimeoutExpired:
        result.problem = f"longer than {LIMIT_S} s"
        return result
    finally:
        result.seconds = time.monotonic() - begin
    text = log.read_text()
    if status or not table.exists():
        result.problem = f"frama-c failed, see {log}"
        return result
    if "Frama_C_show_each_end" not in text:
        result.problem = f"the end of main() is not reached, see {log}"
    reached = number(r"(\d+) statements reached \(out of (\d+)\)", text)
    checks = number(r"Assertions\s+(\d+) valid\s+\d+ unknown\s+\d+ invalid\s+(\d+) total", text)
    result.statements = "/".join(reached) if reached else "-"
    result.checks = "/".join(checks) if checks else "-"
    result.alarms = list(read_alarms(driver, table))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("-k", default="", metavar="SUBSTRING")
    parser.add_argument("-j", type=int, default=min(2, os.cpu_count() or 1))
    args = parser.parse_args()
    build = args.build.resolve() / "prove"
    drivers = [p.stem for p in sorted(HERE.glob("*.c")) if args.k in p.stem]
    known = {k for k in read_known() if k[0] in drivers}
    bad = 0
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        for r in pool.map(lambda d: run(d, build), drivers):
            found = {key for key, _line in r.alarms}
            new = [(key, line) for key, line in r.alarms if key not in known]
            gone = [] if r.problem else [k for k in known if k[0] == r.driver and k not in found]
            good = not (r.problem or new or gone)
            bad += not good
            print(f"  {'ok' if good else 'FAILED':7}{r.driver:14} {r.statements:>10} statements  "
                  f"{r.checks:>6} checks  {len(r.alarms) - len(new)} explained alarms  "
                  f"{len(new)} others  {r.seconds:4.0f} s", flush=True)
            if r.problem:
                print(f"         {r.problem}")
            for key, line in new:
                print(f"         new, line {line}:\n           {' | '.join(key)}")
            for key in gone:
                print(f"         no longer raised:\n           {' | '.join(key)}")
    print(f"{len(drivers)} drivers, {bad} failed, {time.monotonic() - begin:.0f} s")
    return 1 if bad or not drivers else 0


if __name__ == "__main__":
    sys.exit(main())
