# SPDX-License-Identifier: BSD-2-Clause
"""The results as tables, for a terminal and for docs/performance.md."""
import re

import goals
import keys


NAMES = {"bare": "bare", "lamina": "Lamina", "kvm": "KVM", keys.NOFLUSH: "KVM*"}


def number(n):
    if n is None:
        return ""
    return f"{n:,}" if isinstance(n, int) else f"{n:,.1f}"


def times(r):
    if r is None:
        return ""
    return "∞" if r == float("inf") else f"{r:,.0f}" if r >= 20 else f"{r:.1f}"


def round_trips(results):
    columns = {host: [env for env in (*keys.ENVS, keys.NOFLUSH)
                      if env != keys.NOFLUSH or results["results"].get(host, {}).get(env)]
               for host in keys.HOSTS}
    head = [""]
    for host, envs in columns.items():
        name = keys.HOSTS[host].split(",")[0]
        head += [f"{name} {NAMES[env]}" for env in envs] + [f"{name} KVM/Lamina"]
    rows = []
    for key, name in keys.ROUND_TRIPS.items():
        row = [name]
        for host, envs in columns.items():
            row += [number(keys.value(results, host, env, key)) for env in envs]
            good = goals.round_trip(results, host, key)
            row.append(times(goals.ratio(results, host, key)) + (" (short)" if good is False else ""))
        if any(row[1:]):
            rows.append(row)
    return "Round trips, instructions (KVM*: without the loop over the L1 cache)", head, rows


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


KINDS = {"Lamina": ("lamina", ""), "Lamina zap=all": ("lamina", "_all"), "KVM": ("kvm", ""),
         "KVM huge pages": ("kvm", "_huge")}


def slots(results):
    head = ["guest"] + [f"{name.split(',')[0]} {kind}" for name in keys.HOSTS.values() for kind in KINDS]
    rows = [[f"{size} MiB"] + [number(goals.slot_cost(results, host, env, size, kind))
                               for host in keys.HOSTS for env, kind in KINDS.values()]
            for size in keys.SIZES]
    return ("A small slot deleted and created, all memory touched again: instructions more than touching "
            "it takes anyway", head, [row for row in rows if any(row[1:])])


def slot_parts(results):
    size = max(keys.SIZES)
    return by_env(results, f"The same in parts, {size} MiB",
                  {f"{key}_{size}": name for key, name in keys.SLOTS.items()})


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
        slot_parts(results),
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
