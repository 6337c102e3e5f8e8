# SPDX-License-Identifier: BSD-2-Clause
"""Counts of instructions against those that were checked in: what grew is an error."""
import json

TOLERANCE = 0.03


def read(path):
    with open(path) as f:
        return json.load(f)


def write(path, counts):
    with open(path, "w") as f:
        json.dump(counts, f, indent="\t")
        f.write("\n")


def compare(counts, baseline, say=print):
    """Says a line for each operation; (errors, operations that became cheaper)."""
    errors, cheaper = [], []
    for name, n in counts.items():
        old = baseline.get(name)
        if old is None:
            say(f"{n:12,}      new  {name}")
            errors.append(f"{name}: not in the baseline")
            continue
        change = n / old - 1 if old else float(n > 0)
        say(f"{n:12,} {change:+8.2%}  {name}")
        if change > TOLERANCE:
            errors.append(f"{name}: {old:,} instructions became {n:,}, {change:+.1%}")
        elif change < -TOLERANCE:
            cheaper.append(name)
    errors += [f"{name}: in the baseline, but not measured" for name in baseline
               if name not in counts]
    return errors, cheaper
