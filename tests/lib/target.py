# SPDX-License-Identifier: BSD-2-Clause
"""How target tests are written and run.

A file tests/target/X.py holds functions decorated with @target(...). Each takes one argument, a
Lab, whose boot() starts machines; they end with the test. It passes if it returns, fails if it
raises. The function's name and document string are what the report shows.
"""
import dataclasses
import importlib.util
import os
import shutil
import tempfile
import time
import traceback

from lib.machine import Machine, TOP
from lib.report import FAIL, PASS, Result, SKIP
import symbolize  # in tools/, which lib.machine made known

TESTS = []


class Skip(Exception):
    """Raised by a test that finds it cannot be run here."""


@dataclasses.dataclass
class Test:
    name: str
    function: object
    host: str
    options: dict
    bench: bool
    limit: int


def target(hosts=("qemu", "bochs"), bench=False, limit=240, iommus=(), **options):
    """Make a test of a function, once for each host. `options` are given to every machine that it
    boots; bench: not a test but a measurement, run by `make bench-iommu` only; limit: seconds that one
    machine may live; iommus: instead of the hosts, QEMU with each of these."""
    def decorate(function):
        module = function.__module__.rpartition(".")[2]
        for host, iommu in [("qemu", i) for i in iommus] or [(h, None) for h in hosts]:
            kind = f"{host}+{iommu}" if iommu else host
            TESTS.append(Test(f"{module}.{function.__name__}[{kind}]", function, host,
                              options | ({"iommu": iommu} if iommu else {}), bench, limit))
        return function
    return decorate


class Lab:
    """What a test works with."""

    def __init__(self, test, build, logs):
        self.test, self.build, self.logs = test, build, logs
        self.host = test.host
        self.iommu = test.options.get("iommu")
        self.machines = []
        self.folders = []
        self.notes = []

    def log_path(self):
        number = f"-{len(self.machines)}" if self.machines else ""
        return os.path.join(self.logs, f"{self.test.name}{number}.log")

    def boot(self, guests=(), **options):
        """A new machine; see Machine."""
        workdir = tempfile.mkdtemp(prefix="lamina-test.")
        self.folders.append(workdir)
        machine = Machine(self.host, self.build, workdir, self.log_path(), guests=guests,
                          limit=self.test.limit, **(self.test.options | options))
        self.machines.append(machine)
        return machine

    def scratch(self, name, content):
        """A file with this content, gone after the test; its path."""
        folder = tempfile.mkdtemp(prefix="lamina-test.")
        self.folders.append(folder)
        path = os.path.join(folder, name)
        with open(path, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        return path

    def note(self, text):
        """A result worth a place in the report's line."""
        self.notes.append(text)

    def skip(self, why):
        raise Skip(why)

    def close(self):
        for machine in self.machines:
            machine.close()
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)


def discover():
    """Load tests/target/*.py; all tests, in the files' order."""
    folder = os.path.join(TOP, "tests", "target")
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".py"):
            continue
        spec = importlib.util.spec_from_file_location(f"target.{name[:-3]}",
                                                      os.path.join(folder, name))
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    return TESTS


def where(error):
    """The line of the test that failed."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/tests/target/" in f.filename]
    return f"{os.path.relpath(frames[-1].filename, TOP)}:{frames[-1].lineno}: " if frames else ""


def named(text, build):
    """With the functions' names behind the addresses, if that is possible."""
    try:
        return symbolize.symbolize(text, os.path.join(build, "lamina.elf"))
    except (OSError, SystemExit):
        return text


def run(test, build, logs):
    lab = Lab(test, build, logs)
    start = time.monotonic()
    log = lab.log_path()
    try:
        test.function(lab)
        for machine in lab.machines:
            machine.check()
        outcome, detail = PASS, "; ".join(lab.notes)
    except Skip as e:
        outcome, detail = SKIP, str(e)
    except KeyboardInterrupt:
        raise
    except Exception as e:  # whatever it is, it is this test's failure and the run goes on
        kind = "" if isinstance(e, AssertionError) else f"{type(e).__name__}: "
        outcome, detail = FAIL, named(f"{where(e)}{kind}{e}", build)
    finally:
        lab.close()
    return Result(f"target/{test.name}", outcome, time.monotonic() - start, detail,
                  log if lab.machines else "")
