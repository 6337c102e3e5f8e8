# SPDX-License-Identifier: BSD-2-Clause
"""The benchmarks' payload under Lamina: all that it should report is reported and makes sense. How long
things take is for make bench to say."""
from lib.machine import Guest
from lib.payload import read
from lib.target import target

MIB = 1 << 20
ICOUNT = 3          # so that nothing depends on how busy this machine is
ABSURD = 1_000_000  # ticks: for one operation

ROUND_TRIPS = {"cpuid", "hypercall", "rdmsr", "wrmsr", "port_read", "port_write", "mmio_read",
               "mmio_write"}
# QEMU has neither an intercept of XSETBV nor x2APIC, in which most of these do not leave the guest.
OTHERS = {"xsetbv", "apic_read", "apic_write", "apic_eoi", "ipi_self", "irq_timer", "hlt_timer",
          "ipi_other", "hlt_ipi"}
JITTER = {f"jitter_{key}_ns" for key in ("min", "avg", "p999", "max")}
MEMORY = {"touch_warm", "fault", "slot_touch_warm", "slot_retouch", "nx_touch_warm", "nx_touch",
          "nx_exec", "nx_exec_warm", "nx_exec_again"}


def check_jitter(results, prefix):
    least, average, share, most = (results[f"{prefix}{key}_ns"]
                                   for key in ("min", "avg", "p999", "max"))
    assert least <= average <= most and share <= most, results


@target(limit=400)
def reports_everything(lab):
    base, size = 8 * MIB, 8 * MIB
    options = {"icount": ICOUNT} if lab.host == "qemu" else {}
    m = lab.boot([Guest("one", "payload", cores="0,1", memory="64M", nx_hugepages="on",
                        cmdline=f"env=lamina other=any fault={base:#x},{size:#x} "
                                f"touch={base:#x},{size:#x} nx={2 * base:#x},8 jitter=1")],
                 lamina={"spare": "2M"}, cores=2, **options)
    results, facts = read(m)
    missing = (ROUND_TRIPS | OTHERS | MEMORY | JITTER) - set(results)
    assert not missing, f"not reported: {missing}"
    assert facts["env"] == "lamina" and int(facts["khz"]) > 1000, facts
    absurd = {k: v for k, v in results.items() if v == 0 and k in ROUND_TRIPS
              or v > ABSURD and k in ROUND_TRIPS | OTHERS | {"fault"}}
    assert not absurd, absurd
    # Pages came back one by one or by large ones, and the code did have to be made executable.
    assert 1 <= int(facts["faults"].split()[0]) <= size // 4096, facts
    assert results["fault"] > results["touch_warm"], results
    assert results["nx_exec"] > 10 * results["nx_exec_warm"], results
    assert results["nx_exec_again"] > 10 * results["nx_exec_warm"], "not merged in between"
    check_jitter(results, "jitter_")
    lab.note(", ".join(f"{k} {results[k]}" for k in ("cpuid", "hypercall", "ipi_self", "fault")))


@target(hosts=("qemu",), limit=120)
def jitter_beside_a_load(lab):
    m = lab.boot([Guest("one", "payload", cmdline="env=lamina jitter=1 loaded=1"),
                  Guest("two", "payload", cmdline="env=lamina load=0x800000,0x400000",
                        console="no")])
    results, _ = read(m)
    check_jitter(results, "jitter_")
    check_jitter(results, "loaded_jitter_")
    lab.note(f"{results['jitter_max_ns']} ns, beside a load {results['loaded_jitter_max_ns']} ns")
