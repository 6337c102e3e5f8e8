# SPDX-License-Identifier: BSD-2-Clause
"""How measurements are written. tests/bench/run_*.py hold functions with @measurement; each gets a
Lab as a target test does (tests/lib/target.py) and returns {environment: {key: number}}."""
import functools
import glob
import importlib
import os

from lib import target
import keys
import lines

# Of icount: QEMU's TSC ticks once a nanosecond, and an instruction takes 2^SHIFT. With 0 OVMF takes
# a minute; differences of the TSC are multiples of 2^SHIFT, so nothing is lost.
SHIFT = 3
KHZ = {"qemu": 1000000, "bochs": 50000}  # of the TSCs, by these settings of the emulators

taken = {}  # what was measured, by the measurement's name


def options(lab):
    """What to boot a machine with whose TSC counts instructions."""
    return {"icount": SHIFT} if lab.host == "qemu" else {}


def instructions(lab, ticks):
    return int(ticks) >> (SHIFT if lab.host == "qemu" else 0)


def measurement(hosts=("qemu", "bochs"), limit=900, **machine):
    """Make a measurement of a function, once for each emulator; limit: seconds for a machine."""
    def decorate(function):
        def measured(lab):
            taken[lab.test.name] = function(lab)
        functools.update_wrapper(measured, function)
        name = f"{function.__module__.removeprefix('run_')}.{function.__name__}"
        for host in hosts:
            MEASUREMENTS.append(target.Test(f"{name}[{host}]", measured, host, machine, True, limit))
        return function
    return decorate


MEASUREMENTS = []


def discover():
    folder = os.path.dirname(os.path.abspath(__file__))
    for path in sorted(glob.glob(os.path.join(folder, "run_*.py"))):
        importlib.import_module(os.path.basename(path)[:-3])
    return MEASUREMENTS


def sources_and_image(build):
    return {"lines": lines.by_folder(target.TOP),
            "image": {"file": os.path.getsize(f"{build}/BOOTX64.EFI"),
                      "hypervisor": os.path.getsize(f"{build}/lamina.stripped.elf")}}


def deterministic(results):
    """What the baseline holds: the round trips of one core under Lamina, on each emulator."""
    wanted = [key for key in keys.ROUND_TRIPS if key not in keys.TWO_CORES]
    return {host: {key: n for key, n in results["results"].get(host, {}).get("lamina", {}).items()
                   if key in wanted} for host in keys.HOSTS}
