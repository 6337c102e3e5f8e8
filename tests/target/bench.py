# SPDX-License-Identifier: BSD-2-Clause
"""Exits must not become longer: the benchmark's round trips against tests/bench/baseline.json."""
import os
import subprocess
import sys

from lib import baseline
from lib.machine import TOP
from lib.target import target

sys.path.append(os.path.join(TOP, "tests", "bench"))
import keys  # noqa: E402  (they are in tests/bench/)
import run_roundtrips  # noqa: E402

COMPILER = "12"  # of gcc: another one makes other code


def compiler(build):
    """The version of the gcc that the hypervisor was built with."""
    with open(os.path.join(build, ".flags")) as f:
        name = f.readline().partition(" |")[0]
    done = subprocess.run([*name.split(), "-dumpversion"], capture_output=True, text=True, check=False)
    return done.stdout.strip() if "clang" not in name else name


@target(limit=200)
def no_exit_takes_longer_than_the_baseline_says(lab):
    if compiler(lab.build).partition(".")[0] != COMPILER:
        lab.skip(f"the baseline is for gcc {COMPILER}, this is {compiler(lab.build)}")
    known = baseline.read(os.path.join(TOP, "tests", "bench", "baseline.json"))[lab.host]
    found = run_roundtrips.one_core(lab)
    counts = {key: n for key, n in found.items() if key in keys.ROUND_TRIPS}
    errors, cheaper = baseline.compare(counts, known, lambda line: None)
    assert not errors, "\n".join(errors + [
        "If this is on purpose: make bench bench-baseline, and say why in the commit."])
    lab.note(f"{len(counts)} operations within {baseline.TOLERANCE:.0%} of the baseline"
             + (f"; cheaper, update it (make bench bench-baseline): {', '.join(cheaper)}"
                if cheaper else ""))
