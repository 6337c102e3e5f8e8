#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Check the models exhaustively, and that each of their broken variants is found to be broken.

usage: tests/model/run.py [--build DIR] [-k SUBSTRING] [-j JOBS]
"""
import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
LIMIT_S = 300
LIMIT_MB = 3500  # of one run; two run side by side
DEPTH = 200000
MODELS = ("entry", "tables")


@dataclasses.dataclass
class Config:
    model: str
    name: str
    what: str
    defines: str


CONFIGS = [
    Config("entry", "readers", "1 core, monitor 2 changes, core 1; read sections, resets",
           "NC=1 MONITOR_OPS=2 CORE_OPS=1 EXITS=2 READS RESETS"),
    Config("entry", "race", "2 cores, monitor 1 change, core 1",
           "NC=2 MONITOR_OPS=1 CORE_OPS=1 EXITS=1"),
    Config("entry", "resets", "2 cores, monitor 1 change; resets",
           "NC=2 MONITOR_OPS=1 CORE_OPS=0 EXITS=2 RESETS"),
    Config("tables", "one", "1 core, 2 operations; faults, splits",
           "NC=1 OPS0=2 FAULTS SPLITS"),
    Config("tables", "race", "1 core, 2 operators; faults, splits",
           "NC=1 OPS0=1 OPS1=1 FAULTS SPLITS"),
    Config("tables", "cores", "2 cores, 1 operation; faults, splits",
           "NC=2 OPS0=1 FAULTS SPLITS"),
    Config("tables", "mapped", "2 cores, 2 operations; all mapped at first",
           "NC=2 OPS0=2"),
    Config("tables", "frozen", "2 cores, 1 operation; zaps without the lock",
           "NC=2 OPS0=1 FAULTS ZAP_UNLOCKED WHAT=3"),
    Config("tables", "poor", "1 core, 2 operations, 2 table pages",
           "NC=1 OPS0=2 NT=2 FAULTS SPLITS"),
    Config("tables", "device", "1 core and a device, same tables, 2 operations",
           "NC=1 OPS0=2 DEVICE WHAT=5"),
    Config("tables", "views", "1 core and a device, own tables, 2 operations; faults",
           "NC=1 OPS0=2 NT=6 DEVICE VIEWS=2 FAULTS WHAT=5"),
]

# Which configuration shows what a broken variant breaks; the first one of the model if none is named.
BUG_CONFIG = {
    "BUG_COMMIT_SKIPS_VERSION_CHECK": "race",
    "BUG_PREPARE_WITHOUT_LAYOUT_LOCK": "race",
    "BUG_ZAP_WITHOUT_LAYOUT_LOCK": "race",
    "BUG_FROZEN_OVERWRITTEN": "frozen",
    "BUG_IOTLB_NOT_AWAITED": "views",
    "BUG_IOTLB_NOT_INVALIDATED": "views",
    "BUG_UNMAPPED_IN_BETWEEN": "views",
}


@dataclasses.dataclass
class Result:
    config: Config
    bug: str
    verdict: str  # "clean", "error" (an error in the model was found) or "failed" (no verdict)
    why: str
    states: str = "-"
    depth: str = "-"
    memory: str = "-"
    seconds: float = 0

    @property
    def good(self):
        return self.verdict == ("error" if self.bug else "clean")


def bugs_of(model):
    text = (HERE / f"{model}.pml").read_text()
    return sorted(set(re.findall(r"\bBUG_[A-Z0-9_]+\b", text)))


def jobs():
    by_name = {(c.model, c.name): c for c in CONFIGS}
    for c in CONFIGS:
        yield c, None
    for model in MODELS:
        default = next(c for c in CONFIGS if c.model == model)
        for bug in bugs_of(model):
            name = BUG_CONFIG.get(bug, default.name)
            yield by_name[model, name], bug


def call(args, folder, log, limit):
    with open(folder / log, "w") as f:
        return subprocess.run(args, cwd=folder, stdout=f, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, timeout=limit, check=False).returncode


def first(pattern, text, default="-"):
    m = re.search(pattern, text, re.M)
    return m.group(1) if m else default


def judge(result, text):
    result.states = first(r"^\s*(\S+) states, stored", text)
    result.depth = first(r"depth reached (\d+)", text)
    result.memory = first(r"^\s*([\d.]+)\s+total actual memory", text)
    for sign in ("max search depth too small", "reached -DMEMLIM", "out of memory",
                 "Search not completed"):
        if sign in text and "errors: 0" in text:
            result.why = sign
            return
    errors = first(r"errors: (\d+)", text, "")
    if errors == "0":
        result.verdict, result.why = "clean", ""
    elif errors:
        result.verdict = "error"
        result.why = first(r"^pan:\d+: (assertion|invalid end state)", text)
        result.why = result.why.replace("invalid end state", "somebody waits forever")


def run(job, build):
    config, bug = job
    folder = build / f"{config.model}-{config.name}{'-' + bug if bug else ''}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    defines = [f"-D{d}" for d in config.defines.split()] + ([f"-D{bug}"] if bug else [])
    source = str(HERE / f"{config.model}.pml")
    result = Result(config, bug, "failed", "no verdict")
    begin = time.monotonic()
    try:
        steps = (
            ("spin.log", ["spin", "-a", *defines, source]),
            ("cc.log", ["gcc", "-O1" if bug else "-O2", "-w", "-DSAFETY", "-DCOLLAPSE",
                        f"-DMEMLIM={LIMIT_MB}", "-o", "pan", "pan.c"]),
            ("pan.log", ["./pan", f"-m{DEPTH}", "-w24"]),
        )
        for log, args in steps:
            if call(args, folder, log, LIMIT_S) and log != "pan.log":
                result.why = f"{args[0]} failed, see {folder / log}"
                return result
        judge(result, (folder / "pan.log").read_text())
        trail = list(folder.glob("*.trail"))
        if trail:
            call(["spin", "-t", "-p", "-g", "-l", *defines, "-k", trail[0].name, source], folder,
                 "steps.txt", LIMIT_S)
            line = first(r"pml:(\d+), Error: assertion", (folder / "steps.txt").read_text(), "")
            result.why += f", line {line}" if line else ""
            result.why += "" if bug else f", steps in {folder / 'steps.txt'}"
    except subprocess.TimeoutExpired:
        result.why = f"longer than {LIMIT_S} s"
    finally:
        result.seconds = time.monotonic() - begin
        (folder / "pan").unlink(missing_ok=True)
    return result


def show(r):
    if r.bug:
        print(f"  {'ok' if r.good else 'FAILED':7}{r.config.model:7} {r.config.name:8}"
              f"{r.bug[4:].lower().replace('_', ' '):34} {r.seconds:5.0f} s  "
              f"{'found: ' + r.why if r.good else 'NOT FOUND ' + r.why}", flush=True)
    else:
        memory = f"{float(r.memory):.0f} MiB" if r.memory != "-" else "-"
        print(f"  {'ok' if r.good else 'FAILED':7}{r.config.model:7} {r.config.name:8}"
              f"{r.config.what:56} {r.states:>9} states  depth {r.depth:>4}  {memory:>8}  "
              f"{r.seconds:4.0f} s{'  ' + r.why if not r.good else ''}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("-k", default="", metavar="SUBSTRING",
                        help="only what has this in model, configuration or bug")
    parser.add_argument("-j", type=int, default=min(2, os.cpu_count() or 1))
    args = parser.parse_args()
    build = args.build.resolve() / "model"
    todo = [j for j in jobs() if args.k.lower() in f"{j[0].model} {j[0].name} {j[1]}".lower()]
    begin = time.monotonic()
    results = []
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        for title, part in (("models, all states:", [j for j in todo if not j[1]]),
                            ("broken variants, each of which must be found:",
                             [j for j in todo if j[1]])):
            if part:
                print(title, flush=True)
            for r in pool.map(lambda j: run(j, build), part):
                show(r)
                results.append(r)
    bad = [r for r in results if not r.good]
    models = [r for r in results if not r.bug]
    print(f"{len(models)} configurations, {len(results) - len(models)} broken variants, "
          f"{len(bad)} failed, {time.monotonic() - begin:.0f} s")
    return 1 if bad or not results else 0


if __name__ == "__main__":
    sys.exit(main())
