# SPDX-License-Identifier: BSD-2-Clause
"""Emulated devices: second-level entries that say whose they are."""
import re

from lib.live import run, two_guests
from lib.machine import Guest
from lib.target import target

IOAPIC = "fec00000"
READS = 20


def counts(m):
    text = m.monitor("mmustat one")
    return {key: int(re.search(pattern, text).group(1))
            for key, pattern in {"entries": r"by their entries (\d+)", "slots": r"mmio (\d+)",
                                 "fixed": r"fixed (\d+)"}.items()}


def by_entries(lab, **options):
    m = two_guests(lab, **options)
    assert re.search(r"fec00000-0000fec00fff +4K --- +uc +emul .* ioapic", m.monitor("slots one"))
    text = m.monitor(f"pt {IOAPIC} one")
    assert re.search(r"level 1: .* device, handler 0", text), text
    before = counts(m)
    run(m, *[f"peek {IOAPIC}"] * READS)
    after = counts(m)
    assert after["entries"] - before["entries"] == READS, (before, after)
    assert after["slots"] == before["slots"] and after["fixed"] == before["fixed"], after
    # A zap takes the entry away; the first access brings it back.
    m.monitor("zap one fec00000")
    run(m, *[f"peek {IOAPIC}"] * READS)
    again = counts(m)
    assert again["slots"] - after["slots"] == 1, (after, again)
    assert again["entries"] - after["entries"] == READS - 1, (after, again)
    lab.note(f"{READS} accesses by their entry, none by the slots")
    return m


@target(limit=120)
def accesses_are_known_by_their_entry(lab):
    by_entries(lab)


@target(hosts=("bochs",), limit=120)
def accesses_are_known_by_their_entry_on_bochs_svm(lab):
    by_entries(lab, cpu="trinity_apu")


DEATHS = {
    "device-code": r"executes at gpa 0xfec00010, where it has no memory",
    "device-event": r"its stack or tables lie at gpa 0xfec00ff8, where it has no writable memory",
    "device-push": r"device gpa 0xfec00ff8: instruction not emulated, bytes 50",
    "device-tables": r"its page tables lie at gpa 0xfec00\w+, where it has no writable memory",
    "device-data": r"its page tables lie at gpa 0xfec00018, where it has no writable memory",
}


def misuse(lab, deeds, **options):
    m = lab.boot([Guest("by", "terminal", cores=0)]
                 + [Guest(deed, "hostile", cores=i + 1, cmdline=deed)
                    for i, deed in enumerate(deeds)], **options)
    pending = {f"guest {deed}: core \\d+ stopped at rip 0x[0-9a-f]+: [^\r]*{DEATHS[deed]}"
               for deed in deeds}
    m.wait_started()
    m.console.expect("terminal ready", 60, anywhere=True)
    for pattern in pending:
        m.console.expect(pattern, 60, anywhere=True)
    for deed in deeds:
        # Its last exit, which is kept.
        text = m.monitor(f"regs {deed}")
        exit = re.search(r"newest first:\s+-[^\n]*", text).group(0)
        assert ("EPT misconfig" if m.vendor == "vmx" else "NPF") in exit, exit
    m.monitor("console by")
    m.command("are you there", "got 'are you there'")


@target(limit=120)
def devices_are_no_memory_for_code_and_events(lab):
    misuse(lab, ["device-code", "device-event"])


@target(limit=120)
def devices_are_no_memory_for_stacks_and_tables(lab):
    misuse(lab, ["device-push", "device-tables", "device-data"])
