# SPDX-License-Identifier: BSD-2-Clause
"""What the hypervisor does about the machine's own exceptions: NMIs nobody sent, machine checks."""
from lib.machine import Guest
from lib.target import target

# Bank 1: valid, uncorrected, enabled, with address, processor context corrupt.
STATUS = 0xB600000000000135
ADDRESS = 0x123456780


def two_guests(lab):
    m = lab.boot([Guest("one", "hello", cores=0, cmdline="hang"),
                  Guest("two", "hello", cores=1, cmdline="hang")], cores=3)
    m.wait_started()
    m.expect("hanging", timeout=40)
    return m


@target(hosts=("qemu",), limit=120)
def stray_nmis_disturb_nobody(lab):
    """The NMI button goes to all cores: in a guest, and halted without one."""
    m = two_guests(lab)
    for _ in range(20):
        m.qmp("inject-nmi")
    guests = m.monitor("guests")
    assert guests.count("running") == 2, guests


# Not in a guest: QEMU does not ask the intercept and gives a machine check to the guest.
@target(hosts=("qemu",), limit=120)
def machine_check_is_dumped_and_stops_all_cores(lab):
    m = two_guests(lab)
    m.expect_panic = True
    m.qmp("human-monitor-command",
          **{"command-line": f"mce 2 1 {STATUS:#x} 0x5 {ADDRESS:#x} 0x0"})
    m.expect_in_order(r"\*\*\* Lamina panic: #MC machine check \(vector 18",
                      r"MCG_STATUS 0000000000000005.* in progress",
                      rf"bank 1: STATUS {STATUS:016x} uncorrected context corrupt "
                      rf"ADDR {ADDRESS:016x}",
                      r"core 2, APIC ID 2")
    text = m.expect(r"(?s)#0 0xffffffff8[0-9a-f]{7}.*\*\*\* halted").group(0)
    for core in (0, 1):
        assert f"core {core}: stopped" in text, text
