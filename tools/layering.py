#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Check the sources' structure: usage: layering.py COMPILER FLAG...

1. A folder includes only headers of the folders it may depend on, and files are included by their
   path from the top (or by name, from include/).
2. Includes between headers form no cycle.
3. Every header compiles on its own, with the compiler and flags given.
"""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys

MAY_USE = {
    "include": [],
    "mm": [],
    "x86": [],
    "drivers": ["x86", "mm"],
    "core": ["x86", "mm", "drivers"],
    "vmx": ["x86", "mm", "core"],
    "svm": ["x86", "mm", "core"],
    "boot": ["x86", "drivers/acpi.h"],
    "lib": [],
}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')


def includes(path):
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            match = INCLUDE.match(line)
            if match:
                yield number, match.group(1), match.group(2)


def resolve(name):
    """The file in the tree that `name` means, or None for one of the system's."""
    for path in (name, os.path.join("include", name)):
        if os.path.exists(path):
            return path
    return None


def allowed(folder, target):
    top = target.split("/")[0]
    return top in (folder, "include") or top in MAY_USE[folder] or target in MAY_USE[folder]


def check_file(path, graph):
    folder = path.split("/")[0]
    for number, kind, name in includes(path):
        target = resolve(name)
        if kind == "<":
            if name.startswith("efi") and folder != "boot":
                yield f"{path}:{number}: <{name}> is for boot/ only"
            continue
        if target is None:
            yield f'{path}:{number}: "{name}": no such file from the top or from include/'
            continue
        graph.setdefault(path, []).append(target)
        if not allowed(folder, target):
            yield f"{path}:{number}: {folder}/ may not depend on {target}"


def cycles(graph):
    done, path = set(), []

    def visit(node):
        if node in path:
            yield " -> ".join(path[path.index(node):] + [node])
            return
        if node in done:
            return
        path.append(node)
        for target in graph.get(node, []):
            yield from visit(target)
        path.pop()
        done.add(node)

    for node in sorted(graph):
        yield from visit(node)


def self_standing(header, compiler):
    text = f'#include "{header}"\n'
    done = subprocess.run([*compiler, "-fsyntax-only", "-x", "c", "-"], input=text, text=True,
                          capture_output=True)
    return "" if done.returncode == 0 else f"{header} does not stand alone:\n{done.stderr.strip()}"


def main():
    compiler = sys.argv[1:]
    if not compiler:
        sys.exit(__doc__.strip())
    graph, wrong, headers = {}, [], []
    for folder in MAY_USE:
        for path in sorted(glob.glob(f"{folder}/*.[chS]")):
            wrong += check_file(path, graph)
            if path.endswith(".h"):
                headers.append(path)
    wrong += [f"includes form a cycle: {c}" for c in cycles(graph)]
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        wrong += filter(None, pool.map(lambda h: self_standing(h, compiler), headers))
    for line in wrong:
        print(line)
    print(f"layering: {len(headers)} headers, {len(wrong)} errors")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
