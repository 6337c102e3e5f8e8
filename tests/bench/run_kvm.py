# SPDX-License-Identifier: BSD-2-Clause
"""The same payload under KVM of a stock Linux kernel, and such a kernel as KVM's guest."""
import dataclasses
import re

from lib.console import Timeout
from lib.kvmhost import Vm, boot_kvm, marks, results
from measure import KHZ, instructions, measurement, options
from run_boot import LINE, MEMORY, TOLD, executed
from run_roundtrips import FIRST_REGION, REGIONS
from run_slots import FIRST, MIB
import keys

FAULTS, FAULT_BYTES = 0x4000000, 0x400000
SECONDS = 4  # of the guest's clock, idle, then busy
BOOT = 60  # seconds for a stock kernel, of which it needs a fifth
ATTEMPTS = 5
LIMIT = 900  # seconds, for a busy machine; alone it takes a tenth to a fifth of that


def counted(lab, lines, wanted=None):
    """{key: instructions} of what the payload reported."""
    found = results(lines)
    return {key: instructions(lab, n) for key, n in found.items() if not wanted or key in wanted}


@measurement(limit=LIMIT)
def round_trips(lab):
    """On Bochs once more without a loop that CPUs with current microcode do not need."""
    vms = [Vm(memory=128, cmdline=f"fault={FAULTS:#x},{FAULT_BYTES:#x}")]
    if lab.host == "bochs":
        vms.append(dataclasses.replace(vms[0], words=["set=kvm_intel.vmentry_l1d_flush=never"]))
    host = boot_kvm(lab, vms, **options(lab))
    return {env: counted(lab, host.vm()) for env, _ in zip(("kvm", "kvm_noflush"), vms)}


@measurement(hosts=("bochs",), limit=LIMIT)
def two_cores(lab):
    """Under QEMU's icount Linux does not start a second CPU."""
    host = boot_kvm(lab, [Vm(cpus=2, cmdline="other=1")], cores=2, **options(lab))
    return {"kvm": counted(lab, host.vm(), keys.TWO_CORES)}


def slots_of(mib, huge):
    return Vm(memory=mib, huge=huge, cmdline=f"touch={FIRST:#x},{mib * MIB - FIRST:#x}")


@measurement(limit=LIMIT)
def small_slot(lab):
    """Memory of the host in 4 KiB pages, then in huge ones."""
    kinds = [(mib, huge) for huge in (False, True) for mib in keys.SIZES]
    host = boot_kvm(lab, [slots_of(*kind) for kind in kinds], **options(lab))
    taken = {}
    for mib, huge in kinds:
        found = counted(lab, host.vm())
        for ours, theirs in (("slot_warm", "slot_touch_warm"), ("slot_cycle", "slot_cycle"),
                             ("slot_retouch", "slot_retouch")):
            taken[f"{ours}{'_huge' if huge else ''}_{mib}"] = found[theirs]
    return {"kvm": taken}


@measurement(hosts=("bochs",), limit=LIMIT)
def code_in_large_pages(lab):
    """KVM does it because this CPU does not say that it is free of the iTLB multihit erratum. The
    action `recover` makes KVM merge at once what it otherwise merges within an hour."""
    size = (FIRST_REGION + (REGIONS << 21)) // MIB
    host = boot_kvm(lab, [Vm(memory=size, huge=True, prefault=True,
                             cmdline=f"nx={FIRST_REGION:#x},{REGIONS}")],
                    memory=size + 480, **options(lab))
    found = counted(lab, host.vm())
    return {"kvm": {key: n for key, n in found.items() if key.startswith("nx_")}}


def boots(lab, vms):
    """The lines of each of these VMs. QEMU 7.2 delivers an interrupt that VMRUN has injected a second
    time, even with interrupts disabled, if one of its own timers ends a slice of execution before the
    guest's next exit. A guest's kernel then waits for a lock that it holds itself. With the guest's
    tick close behind the host's that is certain, in one boot of five or so. An attempt after it
    starts at another time: behind another VM."""
    for attempt in range(ATTEMPTS):
        before = [Vm()] * attempt
        host = boot_kvm(lab, before + vms, **options(lab))
        try:
            return [host.vm(timeout=BOOT) for _ in before + vms][attempt:]
        except Timeout:
            if lab.host != "qemu" or attempt == ATTEMPTS - 1:
                raise
            host.close()


@measurement(limit=LIMIT)
def a_stock_kernel(lab):
    line = LINE.format(khz=KHZ[lab.host])
    memory = int(MEMORY.rstrip("M"))
    lines, steady = boots(lab, [
        Vm("linux", line, memory, initrd="bench/boot.img", words=["end=init "]),
        Vm("linux", f"{line} nohz=off -- {SECONDS * 1000}", memory, initrd="bench/kvm/guest.img"),
    ])
    start = int(re.search(r"guest TSC (\d+)", lines[0]).group(1))
    taken = executed(lab, re.search(TOLD, "\n".join(lines)), start)
    seen = marks(steady)
    for state, first in (("idle", 2), ("busy", 3)):
        (start, before), (end, after) = seen[first], seen[first + 1]
        taken |= {f"exits_{state}": after - before,
                  f"seconds_{state}": round((end - start) / 1000 / KHZ[lab.host])}
    return {"kvm": taken}
