# SPDX-License-Identifier: BSD-2-Clause
"""The payload's operations, on the bare machine and under Lamina."""
from lib.dma import boot_bare
from lib.machine import Guest
from lib.payload import read
from measure import KHZ, instructions, measurement, options

# RAM that no large page maps, because its guest's and its machine's addresses differ in their lower
# bits: each of its pages takes a fault of its own.
FAULTS, FAULT_BYTES = 0x50001000, 0x400000
REGIONS = 512  # of 2 MiB, for code
FIRST_REGION = 0x2000000


def collect(lab, m, timeout=120):
    """({key: instructions}, {key: text}) of what the payload reports until its end."""
    results, facts = read(m, timeout=timeout)
    return {key: instructions(lab, n) for key, n in results.items()}, facts


def line(lab, env, *words):
    return " ".join([f"env={env}", f"khz={KHZ[lab.host]}", *words])


@measurement()
def bare(lab):
    return {"bare": collect(lab, boot_bare(lab, "payload", line(lab, "bare"), **options(lab)))[0]}


def one_core(lab):
    """One that is started when its memory for faults is there."""
    m = lab.boot([Guest("one", "payload", autostart="no", cmdline=line(
        lab, "lamina", f"fault={FAULTS:#x},{FAULT_BYTES:#x}"))], lamina={"spare": "8M"},
        **options(lab))
    m.wait_started(120)
    m.monitor(f"add one {FAULTS:x} {FAULT_BYTES >> 20}M", "start one", "console one")
    found, facts = collect(lab, m)
    faults = int(facts["faults"].split()[0])
    assert faults >= FAULT_BYTES // 4096 - 1, facts["faults"]  # all but the first
    return found


@measurement()
def under_lamina(lab):
    return {"lamina": one_core(lab)}


@measurement()
def two_cores_bare(lab):
    m = boot_bare(lab, "payload", line(lab, "bare", "other=1"), cores=2, **options(lab))
    return {"bare": other_core(collect(lab, m)[0])}


@measurement()
def two_cores_under_lamina(lab):
    m = lab.boot([Guest("one", "payload", cores="0,1", cmdline=line(lab, "lamina", "other=1"))],
                 cores=2, **options(lab))
    return {"lamina": other_core(collect(lab, m)[0])}


def other_core(found):
    return {key: n for key, n in found.items() if key in ("ipi_other", "hlt_ipi")}


@measurement()
def code_in_large_pages(lab):
    """Large pages that are not executable, as on CPUs with the iTLB multihit erratum."""
    m = lab.boot([Guest("one", "payload", memory=f"{FIRST_REGION + (REGIONS << 21) >> 20}M",
                        nx_hugepages="on",
                        cmdline=line(lab, "lamina", f"nx={FIRST_REGION:#x},{REGIONS}"))],
                 memory=1536, **options(lab))
    found = collect(lab, m)[0]
    return {"lamina": {key: n for key, n in found.items() if key.startswith("nx_")}}
