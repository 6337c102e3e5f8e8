# SPDX-License-Identifier: BSD-2-Clause
"""AMD SVM on Bochs, which has NRIPS, flush-by-ASID and LBR virtualization; QEMU has none of them."""
from lib.machine import Guest
from lib.target import target

CPU = "trinity_apu"


@target(hosts=("bochs",), limit=400)
def stock_kernel_reaches_its_shell_on_bochs_svm(lab):
    m = lab.boot([Guest("one", "linux")], memory=768, cpu=CPU)
    m.expect("uses NPT NRIPS flush-by-ASID LBR virtualization", timeout=60)
    m.expect("guest one: Linux 6", timeout=100)
    m.expect(r"one:\S*# ")
    assert m.shell("echo $((6*7))") == "42"


@target(hosts=("bochs",), limit=120)
def endless_debug_exceptions_and_nmis_on_bochs_svm(lab):
    """#DB is reflected each time, each virtual NMI ends with a single step over IRET."""
    m = lab.boot([Guest("bystander", "terminal", cores=0),
                  Guest("debug", "hostile", cores=1, cmdline="debug-loop"),
                  Guest("nmis", "hostile", cores=2, cmdline="nmi-storm")],
                 lamina={"console": "all"}, cpu=CPU)
    m.expect(r"bystander\| terminal ready", timeout=40)
    m.monitor("console bystander")
    m.command("are you there", "got 'are you there'")
    assert "exception" in m.monitor("stat debug")
    assert "nmi-window" in m.monitor("stat nmis")
