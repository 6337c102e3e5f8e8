# SPDX-License-Identifier: BSD-2-Clause
"""What the stock kernel makes of its machine."""
import re
import time

from lib.machine import Guest
from lib.target import target

# Warnings and errors that a guest's kernel may have; docs/guests.md explains those about PCI, the
# others speak of the CPU and come on the bare machine as well.
EXPECTED = (r"PCI: Fatal: No config space", r"PCI: System does not support PCI",
            r"Speculative Return Stack Overflow", r"RETBleed: WARNING", r"Spectre V2",
            r"MDS CPU bug", r"TAA CPU bug", r"MMIO Stale Data CPU bug", r"L1TF CPU bug",
            r"Transient Scheduler")


def boot_linux(lab, cores, words=""):
    m = lab.boot([Guest("one", "linux", cores=cores,
                        cmdline=f"console=ttyS0 guest=one quiet {words}".strip())],
                 cores=2, memory=768)
    m.wait_shell(90)
    return m


@target(limit=400)
def kernel_log_time_and_frequencies(lab):
    m = boot_linux(lab, "0-1" if lab.host == "qemu" else "0")
    assert m.shell("nproc") == ("2" if lab.host == "qemu" else "1")

    log = m.shell("dmesg -r", timeout=60)
    bad = [line for line in re.findall(r"^<[0-4]>(.*?)\r?$", log, re.M)
           if not any(re.search(e, line) for e in EXPECTED)]
    assert not bad, "\n".join(bad)
    assert "vmware: TSC freq read from hypervisor" in log, log[-2000:]
    assert "vmware: Host bus clock speed read from hypervisor" in log
    assert not re.search(r"calibrating APIC timer|using PIT calibration", log), log
    assert re.search(r"rtc_cmos .*: registered as rtc0", log), log

    # Bochs starts its clock at a fixed time.
    guest = int(m.shell("date -u +%s"))
    now = time.time() if lab.host == "qemu" else 1700000000 + 60
    assert abs(guest - now) < 60, (guest, now)
    assert abs(int(m.shell("hwclock -u -r >/dev/null && date -u +%s")) - guest) < 30


@target(limit=400)
def reboot_restarts_and_power_off_stops(lab):
    m = boot_linux(lab, "0")
    m.send("reboot -f\r")
    m.expect("guest one: restarted on core 0", timeout=30)
    m.wait_shell(90)
    m.send("poweroff -f\r")
    m.expect("guest one: stopped: power", timeout=30)
    assert re.search(r"one\s+stopped", m.monitor("guests"))
