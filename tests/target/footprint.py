# SPDX-License-Identifier: BSD-2-Clause
"""What Lamina takes for itself, as `footprint` says it."""
import re

from lib.footprint import footprint
from lib.machine import Guest
from lib.target import target

PER_GUEST = 1024  # KiB, without tables


@target(limit=120)
def memory_of_a_guest_is_bounded(lab):
    """The parts add up; a guest takes its share and tables, whatever its size. Mapped are RAM and the
    local APIC."""
    sizes = {"small": 16, "large": 256}
    m = lab.boot([Guest(name, "storm", cores=i, memory=f"{mib}M")
                  for i, (name, mib) in enumerate(sizes.items())])
    m.expect("storm ready", timeout=60)
    text = m.monitor("footprint")
    rows = footprint(m)
    total = rows.pop(("in all", ""))
    assert sum(rows.values()) == total, text
    own = {name: rows["guest", name] for name in sizes}
    assert own["small"] == own["large"] < PER_GUEST, text
    for name, mib in sizes.items():
        assert f"for {(mib << 10) + 4} KiB mapped" in re.search(rf"tables +{name}.*", text).group(0), text
        assert 16 <= rows["tables", name] <= 128, text
    lab.note(f"a guest takes {own['small']} KiB and {rows['tables', 'large']} of tables")


@target(limit=120)
def small_pages_cost_a_table_for_each_region(lab):
    m = lab.boot([Guest("one", "storm", memory="64M")])
    m.expect("storm ready", timeout=60)
    before = footprint(m)
    for i in range(8):
        m.monitor(f"split one {i * 0x200000 + 0x1000000:x}")
    after = footprint(m)
    assert after["tables", "one"] == before["tables", "one"] + 8 * 4
    assert {k: n for k, n in after.items() if k[0] not in ("tables", "unused")} == \
        {k: n for k, n in before.items() if k[0] not in ("tables", "unused")}
