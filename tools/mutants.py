#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Do the tests notice faults? Put each fault of tests/mutants/*.txt into a copy of the sources, one
at a time, and run the host tests until one fails. docs/testing.md describes the format."""
import argparse
import concurrent.futures
import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
import time

FOLDERS = ("boot", "core", "drivers", "include", "lib", "mm", "svm", "tests", "tools", "vmx", "x86")
PATIENCE = 20, 10  # seconds, and times what it takes without a mutant: then it does not end


class Mistake(Exception):
    """Something is wrong with the list, not with the tests."""


class Mutant:
    def __init__(self, where, name, text):
        self.where, self.name, self.text = where, name, text
        self.hunks = []  # [file, function or "-", old, new]

    def apply(self, root):
        """The changed files: {path: contents}."""
        changed = {}
        for path, function, old, new in self.hunks:
            source = changed.get(path)
            if source is None:
                try:
                    with open(os.path.join(root, path)) as f:
                        source = f.read()
                except OSError as e:
                    raise Mistake(f"{self.where}: {self.name}: {e}") from e
            changed[path] = self.replace(source, path, function, old, new)
        return changed

    def replace(self, source, path, function, old, new):
        start, end = (0, len(source)) if function == "-" else self.find(source, path, function)
        found = list(re.finditer(pattern(old), source[start:end]))
        if len(found) != 1:
            raise Mistake(f"{self.where}: {self.name}: {path}: {function}: the text is there "
                          f"{len(found)} times:\n\t{old}")
        a, b = start + found[0].start(), start + found[0].end()
        return source[:a] + new + source[b:]

    def find(self, source, path, function):
        """Where the definition of a function begins and ends, by the style of the sources."""
        for m in re.finditer(rf"^[a-z].*\b{function} ?\(", source, re.M):
            body = re.compile(r"^[{}].*$|;\s*$", re.M).search(source, m.end())
            if body and body.group().startswith("{"):
                return m.start(), source.index("\n}", body.end()) + 2
        raise Mistake(f"{self.where}: {self.name}: {path} has no function {function}()")


def pattern(text):
    """The text with any white space between its tokens, so that a new line break does no harm."""
    tokens = re.findall(r"\w+|[^\w\s]", text)
    if not tokens:
        raise Mistake("an empty text to look for")
    return r"\s*".join(rf"\b{t}\b" if t[0].isalnum() or t[0] == "_" else re.escape(t)
                       for t in tokens)


def read_list(path):
    mutants = []
    with open(path) as f:
        for number, line in enumerate(f, 1):
            line, where = line.rstrip("\n"), f"{path}:{number}"
            key, _, rest = line.partition(" ")
            if not line.strip() or line.startswith("#"):
                continue
            if key == "mutant":
                name, colon, text = rest.partition(": ")
                if not colon:
                    raise Mistake(f"{where}: wants 'mutant NAME: DESCRIPTION'")
                mutants.append(Mutant(where, name, text))
            elif key == "in" and mutants and len(rest.split()) == 2:
                mutants[-1].hunks.append([*rest.split(), "", ""])
            elif line[0] in "-+" and mutants and mutants[-1].hunks:
                mutants[-1].hunks[-1][2 if line[0] == "-" else 3] += line[1:].strip() + "\n"
            else:
                raise Mistake(f"{where}: don't understand: {line}")
    return mutants


def read_all(selected):
    mutants = [m for path in sorted(glob.glob("tests/mutants/*.txt")) for m in read_list(path)]
    names = [m.name for m in mutants]
    for m in mutants:
        if names.count(m.name) > 1:
            raise Mistake(f"{m.where}: two mutants are called {m.name}")
        if not m.hunks or not all(h[2] for h in m.hunks):
            raise Mistake(f"{m.where}: {m.name} changes nothing")
    return [m for m in mutants if not selected or any(s in m.name for s in selected)]


def check(mutants):
    """Does each one apply, once, and change something?"""
    good = True
    for m in mutants:
        try:
            for path, text in m.apply(".").items():
                with open(path) as f:
                    if f.read() == text:
                        raise Mistake(f"{m.where}: {m.name}: {path} stays as it is")
        except Mistake as e:
            print(e, file=sys.stderr)
            good = False
    return good


class Bench:
    """A copy of the sources with all tests built, and what it takes to build them with a mutant."""

    def __init__(self, args, mutants):
        self.cc, self.cflags = shlex.split(args.cc), shlex.split(args.cflags)
        self.work = os.path.abspath(os.path.join(args.build, "mutants"))
        self.tree = os.path.join(self.work, "tree")
        self.build = os.path.join(self.work, "build")
        self.jobs = args.j
        self.copy()
        self.tests = [os.path.basename(p)[:-2]
                      for p in sorted(glob.glob(os.path.join(self.tree, "tests/host/test_*.c")))
                      if re.match(args.tests, os.path.basename(p)[:-2])]
        self.changed = {h[0] for m in mutants for h in m.hunks}
        if all(path.endswith(".c") for path in self.changed):
            self.tests = [t for t in self.tests if self.changed & set(self.tags(t, "sources"))]

    def copy(self):
        """Files keep their times, so that little is built the second time."""
        shutil.rmtree(self.tree, ignore_errors=True)
        for folder in FOLDERS:
            shutil.copytree(folder, os.path.join(self.tree, folder))
        shutil.copy2("Makefile", self.tree)

    def tags(self, test, tag):
        with open(os.path.join(self.tree, "tests/host", test + ".c")) as f:
            return " ".join(re.findall(rf"^// {tag}:(.*)$", f.read(), re.M)).split()

    def prepare(self):
        """Build and run everything once, without a fault; the fastest tests go first later."""
        targets = [os.path.join(self.build, "host", t) for t in self.tests]
        subprocess.run(["make", "-s", "-C", self.tree, f"-j{self.jobs}", f"BUILD={self.build}",
                        *targets], check=True)
        self.sources, self.libs, self.needs, self.took = {}, {}, {}, {}
        for t in self.tests:
            self.sources[t] = [f"tests/host/{t}.c", *self.tags(t, "sources")]
            self.libs[t] = self.tags(t, "libs")
            for source in self.sources[t]:
                self.needs[source] = self.dependencies(source)
            if not any(self.needs[source] & self.changed for source in self.sources[t]):
                continue
            start = time.monotonic()
            code, output = self.run(os.path.join(self.build, "host", t), 600)
            self.took[t] = time.monotonic() - start
            if code:
                raise Mistake(f"{t} fails without any mutant:\n{output[-2000:]}")
        self.tests = sorted(self.took, key=self.took.get)

    def object(self, source):
        return os.path.join(self.build, "host/obj", source[:-2] + ".o")

    def dependencies(self, source):
        with open(self.object(source)[:-2] + ".d") as f:
            return set(f.read().replace("\\\n", " ").split())

    def run(self, program, limit):
        # Half of the mutants crash or fail an assertion: nobody wants their leaks and symbols.
        env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0:symbolize=0", MM_SHRINK="0")
        try:
            r = subprocess.run([program], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, timeout=limit, env=env, cwd=self.tree)
        except subprocess.TimeoutExpired as e:
            return "time", (e.stdout or b"").decode(errors="replace")
        return r.returncode, r.stdout.decode(errors="replace")

    def compile(self, mutant, folder, changed):
        """Objects that differ from the copy's: {source: object}; or what the compiler noticed."""
        for path, text in changed.items():
            os.makedirs(os.path.join(folder, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(folder, path), "w") as f:
                f.write(text)
        objects = {}
        for source, needs in self.needs.items():
            if not needs & changed.keys():
                continue
            out = os.path.join(folder, source.replace("/", "_") + ".o")
            where = os.path.join(folder, source) if source in changed else source
            r = subprocess.run([*self.cc, "-I" + folder, *self.cflags, "-w", "-g0", "-c", where,
                                "-o", out], cwd=self.tree, stderr=subprocess.PIPE)
            errors = r.stderr.decode(errors="replace")
            if r.returncode and "static assertion failed" in errors:
                return None, "static assertion: " + re.findall(
                    r'static assertion failed: "(.*)"', errors)[0]
            if r.returncode:
                raise Mistake(f"{mutant.where}: {mutant.name} does not compile:\n{errors[:2000]}")
            objects[source] = out
        if not objects:
            raise Mistake(f"{mutant.where}: {mutant.name}: no test is built from that")
        return objects, None

    def kill(self, mutant):
        """The test that notices, or None."""
        folder = os.path.join(self.work, "m", mutant.name)
        shutil.rmtree(folder, ignore_errors=True)
        changed = mutant.apply(self.tree)
        objects, noticed = self.compile(mutant, folder, changed)
        try:
            for test in [] if noticed else self.tests:
                if not objects.keys() & set(self.sources[test]):
                    continue
                program = os.path.join(folder, test)
                subprocess.run([*self.cc, *self.cflags, "-o", program,
                                *[objects.get(s, self.object(s)) for s in self.sources[test]],
                                "-lcmocka", *self.libs[test]], cwd=self.tree, check=True)
                code, output = self.run(program, max(PATIENCE[0], PATIENCE[1] * self.took[test]))
                if code:
                    return f"{test}: {first_failure(code, output)}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return noticed


def first_failure(code, output):
    """The name of the test function, by cmocka's report, however it ended."""
    running = "?"
    for line in output.splitlines():
        m = re.match(r"\[ +(\w+) +\] (.*)", line)
        if m and m[1] == "RUN":
            running = m[2]
        elif m and m[1] in ("FAILED", "ERROR") and running != "?":
            return running
    return running + (" (does not end)" if code == "time" else " (ends the program)")


def run(args, mutants):
    bench, survivors, mistakes = Bench(args, mutants), [], []
    bench.prepare()
    width = max(len(m.name) for m in mutants)
    start = time.monotonic()
    lines = []

    def one(m):
        try:
            return m, bench.kill(m), None
        except (Mistake, subprocess.CalledProcessError) as e:
            return m, None, e

    with concurrent.futures.ThreadPoolExecutor(max_workers=args.j) as pool:
        for m, by, mistake in pool.map(one, mutants):
            if mistake:
                mistakes.append(mistake)
            elif not by:
                survivors.append(m)
            lines.append(f"{m.name:{width}}  {'?' if mistake else by or 'SURVIVES'}")
            print(lines[-1], flush=True)
    with open(os.path.join(args.build, "mutants.txt"), "w") as f:
        f.write("\n".join(lines) + "\n")
    print(f"\n{len(mutants) - len(survivors) - len(mistakes)} of {len(mutants)} killed in "
          f"{time.monotonic() - start:.0f} s")
    for m in survivors:
        print(f"survives: {m.where}: {m.name}: {m.text}")
    for e in mistakes:
        print(e)
    return 1 if survivors or mistakes else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build")
    parser.add_argument("--cc", default="gcc")
    parser.add_argument("--cflags", default="")
    parser.add_argument("--check", action="store_true", help="only: does each mutant apply?")
    parser.add_argument("--list", action="store_true", help="print the mutants, run nothing")
    parser.add_argument("--tests", default="test_(mm|mmio|walk|fetch|vtd|amdvi|dmar|ivrs|pci|vpci|vioapic|"
                        "vlapic|msr|cpuid|io|svm)(_.*)?$",
                        metavar="REGEX", help="host tests to run")
    parser.add_argument("-k", action="append", default=[], metavar="TEXT",
                        help="only mutants with TEXT in their names")
    parser.add_argument("-j", type=int, default=os.cpu_count(), help="mutants at a time")
    args = parser.parse_args()
    try:
        mutants = read_all(args.k)
        if not mutants:
            raise Mistake("no such mutant")
        if args.list:
            for m in mutants:
                print(f"{m.name}: {m.text}")
            return 0
        if not check(mutants):
            return 1
        if args.check:
            print(f"{len(mutants)} mutants apply")
            return 0
        return run(args, mutants)
    except Mistake as e:
        print(e, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
