#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Count the instructions of the operations of mm/ and compare them with the baseline.

usage: counts.py PROGRAM FOLDER BASELINE.json [--update]

An operation that costs more than 3 % more than the baseline says is an error, as is one that the
baseline does not know. One that costs less asks for a new baseline. Per-function details stay in
FOLDER, for callgrind_annotate.
"""
import glob
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
from lib import baseline  # noqa: E402

# Operations that differ in the guest's size only, which they must not notice.
FLAT = (("recreate a page's slot, 256 MiB guest", "recreate a page's slot, 4 GiB guest"),)


def count(program, folder):
    """{operation: instructions} by one run under callgrind."""
    os.makedirs(folder, exist_ok=True)
    for old in glob.glob(os.path.join(folder, "out*")):
        os.unlink(old)
    argv = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no",
            f"--callgrind-out-file={folder}/out", program]
    try:
        status = subprocess.run(argv, check=False).returncode
    except FileNotFoundError:
        sys.exit("error: valgrind is not installed; tools/deps.sh test installs it")
    if status:
        sys.exit(f"error: {' '.join(argv)} ended with {status}")
    counts = {}
    for path in glob.glob(os.path.join(folder, "out.*")):
        with open(path) as f:
            text = f.read()
        name = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.M)
        total = re.search(r"^totals: (\d+)$", text, re.M)
        if name and total:
            counts[name.group(1)] = int(total.group(1))
    if not counts:
        sys.exit("error: valgrind counted nothing")
    return dict(sorted(counts.items()))


def compare_sizes(counts):
    errors = []
    for fmt in {name.partition(": ")[0] for name in counts}:
        for small, large in FLAT:
            a, b = counts.get(f"{fmt}: {small}", 0), counts.get(f"{fmt}: {large}", 0)
            if not a or abs(b / a - 1) > 0.01:
                errors.append(f"{fmt}: depends on the guest's size: {a:,} instructions for "
                              f"'{small}', {b:,} for '{large}'")
    return errors


def main():
    program, folder, path = sys.argv[1:4]
    counts = count(program, folder)
    if "--update" in sys.argv[4:]:
        baseline.write(path, counts)
        print(f"{path}: {len(counts)} operations")
        return 0
    errors, cheaper = baseline.compare(counts, baseline.read(path))
    errors += compare_sizes(counts)
    for e in errors:
        print(f"error: {e}")
    if errors:
        print("If this is on purpose: make bench-mm-baseline, and say why in the commit.")
        return 1
    if cheaper:
        print(f"{len(cheaper)} cost less than 97 % of the baseline: update the baseline "
              "(make bench-mm-baseline)")
    print(f"{len(counts)} operations within {baseline.TOLERANCE:.0%} of the baseline"
          f"{', update it' if cheaper else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
