# SPDX-License-Identifier: BSD-2-Clause
"""The payload's operations, on the bare machine and under Lamina."""
from lib.dma import boot_bare
from lib.machine import Guest
from lib.payload import read
import keys
from measure import instructions, measurement, options


def collect(lab, m):
    """{key: instructions} of what the payload reports until its end."""
    results, _ = read(m)
    return {key: instructions(lab, n) for key, n in results.items() if key in keys.ROUND_TRIPS}


@measurement()
def bare(lab):
    return {"bare": collect(lab, boot_bare(lab, "payload", "env=bare", **options(lab)))}


@measurement()
def under_lamina(lab):
    m = lab.boot([Guest("one", "payload", cmdline="env=lamina")], **options(lab))
    return {"lamina": collect(lab, m)}
