# SPDX-License-Identifier: BSD-2-Clause
"""What Lamina takes for itself, as the monitor's `footprint` says it."""
import re


def footprint(m):
    """{(what, whose): KiB}"""
    rows = re.findall(r"^  (\w+(?: all)?) +(\S+)? +(\d+) KiB  ", m.monitor("footprint"), re.MULTILINE)
    return {(what, whose): int(kib) for what, whose, kib in rows}
