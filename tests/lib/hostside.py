# SPDX-License-Identifier: BSD-2-Clause
"""Programs that run on this machine: cmocka tests, fuzzers, and checks of the sources."""
import glob
import os
import re
import subprocess
import time

from lib.report import FAIL, PASS, Result

LIMIT = 300  # seconds for one program


def run_program(name, argv, log, good=None, limit=LIMIT, env=None):
    """Run to the end or the limit; `good`, if given, finds the line of the report in the output."""
    start = time.monotonic()
    with open(log, "w") as f:
        try:
            code = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=f, stderr=f, timeout=limit,
                                  env=dict(os.environ, **(env or {}))).returncode
        except subprocess.TimeoutExpired:
            code = "time limit"
        except OSError as e:
            code = e
    seconds = time.monotonic() - start
    with open(log, errors="replace") as f:
        text = f.read()
    if code == 0:
        found = re.findall(good, text) if good else []
        return Result(name, PASS, seconds, found[-1] if found else "", log)
    lines = [line for line in text.splitlines() if line.strip()]
    failures = [line for line in lines if re.search(r"\[  FAILED|\[  ERROR|ERROR:|error:", line)]
    detail = "\n".join([f"exit: {code}", *failures[:20], "...", *lines[-15:]])
    return Result(name, FAIL, seconds, detail, log)


def unit_test(path, logs, limit=LIMIT):
    name = os.path.basename(path)
    return run_program(f"host/{name}", [path], os.path.join(logs, f"{name}.log"),
                       r"\[  PASSED  \] (\d+ test\(s\))", limit=limit)


def fuzzer(path, logs, seconds):
    name = os.path.basename(path)
    corpus = os.path.join(logs, f"{name}.corpus")
    os.makedirs(corpus, exist_ok=True)
    argv = [path, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048",
            "-print_final_stats=1", f"-artifact_prefix={logs}/{name}-", corpus]
    seeds = os.path.join("tests", "host", "seeds", name)
    if os.path.isdir(seeds):
        argv.append(seeds)
    return run_program(f"fuzz/{name}", argv, os.path.join(logs, f"{name}.log"),
                       r"stat::(number_of_executed_units: \d+)", limit=seconds + 60)


def programs(folder, prefix):
    return sorted(p for p in glob.glob(os.path.join(folder, f"{prefix}_*"))
                  if os.access(p, os.X_OK) and os.path.isfile(p))


def sources_of(prefix):
    """The names of tests that exist as sources: one that does not build is not forgotten."""
    return sorted(os.path.basename(p)[:-2] for p in glob.glob(f"tests/host/{prefix}_*.c"))
