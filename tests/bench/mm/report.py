#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Run the time measurements of mm/, write them as JSON and as a table.

usage: report.py PROGRAM OUT.json [TEXT]      TEXT: only operations with TEXT in their name

Nothing here fails because something was slow: it reports.
"""
import json
import os
import re
import subprocess
import sys

UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1, "ns"))
LEVELS = {1: "4 KiB", 2: "2 MiB", 3: "1 GiB"}
LOGS = ("write protection", "dirty flags", "PML")
GIB = 1 << 30


def size(n):
    for shift, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if n >= 1 << shift:
            return f"{n / (1 << shift):g} {unit}"
    return f"{n} B"


def duration(ns):
    for factor, unit in UNITS:
        if ns >= factor or factor == 1:
            return f"{ns / factor:.3g} {unit}" if ns < 1000 * factor else f"{ns / factor:.0f} {unit}"


def percentile(ordered, p):
    return ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))]


def statistics(samples, units):
    ordered = sorted(s / units for s in samples)
    return {"median_ns": percentile(ordered, 50), "p10_ns": percentile(ordered, 10),
            "p90_ns": percentile(ordered, 90), "min_ns": ordered[0], "max_ns": ordered[-1],
            "samples": len(ordered)}


def title(r):
    """What was measured, in words."""
    pages = f"{LEVELS[r['level']]} pages"
    guest = f"{size(r['bytes'])} guest, {pages}"
    where = ", apart from it" if r["apart"] else ""
    where += f", {r['slots']} other slots" if r["slots"] else ""
    where += ", with devices" if r["dma"] else ""
    slots = f"{r['slots']} slot{'s' if r['slots'] > 1 else ''}"
    big = f"{size(r['bytes'])} slot, {pages}" + (", misaligned" if r["misaligned"] else "")
    log = (f"{LOGS[r['log']]}, " +
           {0: "nothing", 1: "all"}.get(r["written"], f"1 page in {r['written']}") + " written")
    text = {
        "recreate": f"re-create a page's slot: {guest}{where}",
        "zap-all": f"the same by zap-all and refault: {guest}{where}",
        "commit-pages": f"transaction over {slots} of 4 KiB",
        "commit-2m": f"transaction over {slots} of 2 MiB",
        "zap-slot": f"zap: {big}",
        "populate": f"populate: {big}",
        "fault": f"map by faults: {pages}",
        "create-slot": f"create: {big}",
        "delete-slot": f"delete: {big}",
        "split": "split a 2 MiB page in place",
        "collapse": "collapse to a 2 MiB page in place",
        "nx-split": "first fetch from a 2 MiB page: split, and grant X",
        "nx-recover": "recover a 2 MiB page that was split for fetches",
        "zap-table": "zap one table of 4 KiB pages by its back-pointer",
        "dirty-log": f"dirty log of 1 GiB, {log}",
        "first-write": "first write to a page, logged by write protection",
        "attach-dma": f"make the devices' table: {guest}",
        "mmio-entry": f"access to an emulated device with an MMIO entry, {slots}",
        "fault-mmio": f"fault on what no slot covers, {slots}",
        "fault-spurious": f"fault on what is mapped, {slots}",
        "translate": f"hypervisor's look-up of a guest address, {slots}",
        "limit-store": "limit: one atomic store per entry",
        "limit-exchange": "limit: one locked exchange per entry",
    }.get(r["op"], f"{r['op']}: {guest}")
    if r["measure"] == "pause":
        text += ": pause"
    if r["cold"]:
        text += ", cold caches"
    return text


def digest(raw):
    """A result without its samples but with what they say."""
    r = {k: v for k, v in raw.items() if k != "samples"}
    units = 1 if r["measure"] == "pause" else r["units"]
    r["title"] = title(r)
    r["per"] = "commit" if r["measure"] == "pause" else r.pop("unit")
    r.update(statistics(raw["samples"], units))
    return r


def find(results, **wanted):
    for r in results:
        if all(r[k] == v for k, v in wanted.items()):
            return r
    return None


def flat(results, fmt, cold):
    """Does the size of the guest matter for one small slot?"""
    rs = [find(results, op="recreate", format=fmt, bytes=g * GIB, level=1, apart=0, dma=0, slots=0,
               cold=cold) for g in (1, 64, 1024)]
    if None in rs:
        return None
    medians = [r["median_ns"] for r in rs]
    change = max(medians) / min(medians) - 1
    noise = max((r["p90_ns"] - r["p10_ns"]) / r["median_ns"] for r in rs)
    state = "cold caches" if cold else "warm caches"
    return {"bar": f"flat in the guest's size, {state}", "format": fmt,
            "value": f"{', '.join(duration(m) for m in medians)} at 1 GiB, 64 GiB, 1 TiB: "
                     f"{change:.1%} apart, spread {noise:.1%}",
            "met": None if cold else change <= max(noise, 0.03)}


def against_zap_all(results, fmt, level):
    ours = find(results, op="recreate", format=fmt, bytes=64 * GIB, level=level, apart=0, dma=0,
                slots=0, cold=0)
    all_of_it = find(results, op="zap-all", format=fmt, bytes=64 * GIB, level=level)
    if not ours or not all_of_it:
        return None
    ratio = all_of_it["median_ns"] / ours["median_ns"]
    return {"bar": f"cheaper than zap-all, 64 GiB, {LEVELS[level]} pages", "format": fmt,
            "value": f"{duration(ours['median_ns'])} to {duration(all_of_it['median_ns'])}: "
                     f"{ratio:,.0f} times (bar: 1,000 with 4 KiB pages)",
            "met": ratio >= 1000 if level == 1 else None}


def zap_against_limit(results, fmt, misaligned):
    ours = find(results, op="zap-slot", format=fmt, misaligned=misaligned)
    limit = find(results, op="limit-store")
    if not ours or not limit:
        return None
    ratio = ours["median_ns"] / limit["median_ns"]
    return {"bar": "zap of 1 GiB of 4 KiB pages" + (", misaligned" if misaligned else ""),
            "format": fmt,
            "value": f"{ours['median_ns']:.3f} ns a leaf, the limit {limit['median_ns']:.3f}: "
                     f"{ratio:.2f} times (bar: 2)",
            "met": ratio <= 2}


def bars(results):
    found = []
    for fmt in dict.fromkeys(r["format"] for r in results):
        found += [flat(results, fmt, 0), flat(results, fmt, 1), against_zap_all(results, fmt, 1),
                  against_zap_all(results, fmt, 2), zap_against_limit(results, fmt, 0),
                  zap_against_limit(results, fmt, 1)]
    return [b for b in found if b]


def read(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return ""


def machine(raw):
    cpuinfo = read("/proc/cpuinfo")
    model = re.search(r"model name\s*:\s*(.*)", cpuinfo)
    noise = statistics(raw["noise"]["samples"], 1)
    outside = sum(1 for s in raw["noise"]["samples"] if s > noise["median_ns"] * 1.01)
    return {"cpu": model.group(1) if model else "unknown",
            "cpus": os.cpu_count(), "virtual": "hypervisor" in cpuinfo,
            "load": os.getloadavg()[0], "preempted": raw["preempted"],
            "noise": dict(noise, above_1_percent=outside / noise["samples"])}


def show_machine(m):
    n = m["noise"]
    print(f"{m['cpu']}, {m['cpus']} CPUs{' (virtual)' if m['virtual'] else ''}, load "
          f"{m['load']:.1f}, preempted {m['preempted']} times.")
    print(f"Noise: a loop of {duration(n['median_ns'])} is more than 1 % slower in "
          f"{n['above_1_percent']:.1%} of {n['samples']} runs, at worst by "
          f"{n['max_ns'] / n['median_ns'] - 1:.0%}.")


def show_results(results):
    print(f"\n{'':72} {'':6} {'median':>8}   {'10 % to 90 %':>17}  per")
    for r in results:
        limit = r["op"].startswith("limit")
        spread = f"{duration(r['p10_ns'])} .. {duration(r['p90_ns'])}"
        print(f"{r['title']:72} {'' if limit else r['format']:6} {duration(r['median_ns']):>8}   "
              f"{spread:>17}  {r['per']}")


def show_memory(raw):
    sizes = raw["sizes"]
    print("\nmemory: bytes of tables for each GiB that is mapped, in a guest of 64 GiB")
    for t in raw["tables"]:
        print(f"{t['format']}, {LEVELS[t['level']] + ' pages:':13} "
              f"{t['tables'] * 4096 * GIB / t['bytes']:12,.0f}")
    print(f"for each table page {sizes['page_descriptor']} bytes of bookkeeping; a slot set "
          f"{sizes['slot_set']} bytes and {sizes['slot']} for each slot, in whole pages")


def main():
    program, out, *only = sys.argv[1:]
    run = subprocess.run([program, *only], stdout=subprocess.PIPE, check=False)
    if run.returncode:
        sys.exit(f"error: {program} ended with {run.returncode}")
    raw = json.loads(run.stdout)
    results = [digest(r) for r in raw["results"] if r]
    report = {"machine": machine(raw), "sizes": raw["sizes"], "tables": raw["tables"],
              "results": results, "bars": bars(results)}
    with open(out, "w") as f:
        json.dump(report, f, indent=1)
        f.write("\n")
    show_machine(report["machine"])
    show_results(results)
    show_memory(raw)
    print()
    for b in report["bars"]:
        verdict = {True: "met", False: "MISSED", None: ""}[b["met"]]
        print(f"{b['format']}: {b['bar']}: {b['value']}  {verdict}")
    print(f"\n{out}")


if __name__ == "__main__":
    main()
