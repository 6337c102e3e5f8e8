# SPDX-License-Identifier: BSD-2-Clause
"""The results as tables, for a terminal and for docs/performance.md."""
import re

import goals
import keys


def number(n):
    if n is None:
        return ""
    return f"{n:,}" if isinstance(n, int) else f"{n:,.1f}"


def times(r):
    if r is None:
        return ""
    return "∞" if r == float("inf") else f"{r:,.0f}" if r >= 20 else f"{r:.1f}"


def round_trips(results):
    head = ["", *(f"{name.split(',')[0]} {env}" for name in keys.HOSTS.values()
                  for env in ("bare", "Lamina", "KVM", "KVM/Lamina"))]
    rows = []
    for key, name in keys.ROUND_TRIPS.items():
        row = [name]
        for host in keys.HOSTS:
            row += [number(keys.value(results, host, env, key)) for env in keys.ENVS]
            good = goals.round_trip(results, host, key)
            row.append(times(goals.ratio(results, host, key)) + (" (short)" if good is False else ""))
        if any(row[1:]):
            rows.append(row)
    return "Round trips, instructions", head, rows


def by_env(results, title, names):
    """Rows of keys, columns of emulators and environments."""
    head = ["", *(f"{name.split(',')[0]} {env}" for name in keys.HOSTS.values()
                  for env in ("bare", "Lamina", "KVM"))]
    rows = []
    for key, name in names.items():
        row = [name] + [number(keys.value(results, host, env, key))
                        for host in keys.HOSTS for env in keys.ENVS]
        if any(row[1:]):
            rows.append(row)
    return title, head, rows


def slots(results):
    names = {f"{key}_{size}": f"{size} MiB: {name}" for size in keys.SIZES
             for key, name in keys.SLOTS.items()}
    return by_env(results, "A small slot, all memory touched and mapped with 4 KiB pages; instructions",
                  names)


def lines_of_code(results):
    found = results.get("results", {}).get("build", {}).get("lines", {})
    rows = [[folder, number(n)] for folder, n in found.items()]
    return "Lines of code", ["folder", "lines"], rows + [["all", number(sum(found.values()))]]


def goal_rows(results):
    rows = [[g["goal"], keys.HOSTS.get(g["host"], ""), g["verdict"], g["measured"]]
            for g in results["goals"]]
    return "Goals", ["goal", "on", "verdict", "measured"], rows


def sections(results):
    found = [
        goal_rows(results),
        round_trips(results),
        by_env(results, "Steady state", keys.STEADY),
        by_env(results, "Boot, instructions", keys.BOOT),
        slots(results),
        by_env(results, "512 regions of 2 MiB with code and data, not executable at first; instructions",
               keys.NX),
        by_env(results, "Memory, bytes", keys.MEMORY),
        lines_of_code(results),
    ]
    return [s for s in found if s[2]]


def is_number(cell):
    return bool(re.fullmatch(r"[+-]?[0-9,.]+( \(short\))?|∞", cell))


def text(found):
    out = []
    for title, head, rows in found:
        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
        out += ["", title, ""]
        for n, row in enumerate([head, *rows]):
            out.append("  ".join(
                c.rjust(w) if i and any(is_number(r[i]) for r in rows) else c.ljust(w)
                for i, (c, w) in enumerate(zip(row, widths))).rstrip())
            if not n:
                out.append("  ".join("-" * w for w in widths))
    return "\n".join(out)


def markdown(found):
    out = []
    for title, head, rows in found:
        right = [any(is_number(r[i]) for r in rows) and i for i in range(len(head))]
        out += [f"### {title}", "", "| " + " | ".join(head) + " |",
                "|" + "|".join("---:" if r else "---" for r in right) + "|"]
        out += ["| " + " | ".join(row) + " |" for row in rows] + [""]
    return "\n".join(out)
