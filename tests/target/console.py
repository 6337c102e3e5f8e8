# SPDX-License-Identifier: BSD-2-Clause
"""The consoles of several guests, the monitor and the log on one line, or on the screen."""
import os
import re
import time

from lib.machine import ESCAPE, Guest, TOP
from lib.target import target

PASTE = "".join(chr(33 + (i * 7) % 90) for i in range(10240)).replace(".", "x")


def two_terminals(lab, cmdline="", **options):
    return lab.boot([Guest("one", "terminal", cores=0, cmdline="x"),
                     Guest("two", "terminal", cores=1, cmdline=cmdline or "x")], **options)


def checksum(text):
    total = 0
    for c in text.encode():
        total = (total * 31 + c) & 0xFFFFFFFF
    return total


@target(limit=90)
def typing_follows_the_focus(lab):
    m = two_terminals(lab)
    m.expect(r"--- guest one \(core 0\) --- Ctrl-\] for the monitor ---")
    m.expect("terminal ready")
    m.command("first", "got 'first'")
    m.send(ESCAPE + "2")
    m.expect(r"--- guest two \(core 1\) ---")
    m.expect("terminal ready")
    m.command("second", "got 'second'")
    m.send(ESCAPE + "n")
    m.expect(r"--- guest one \(core 0\) ---")
    m.command("third", "got 'third'")
    # Twice: the key itself, for the guest. Then the monitor, and back from it.
    m.send(ESCAPE + ESCAPE)
    m.command("x", "got '\x1dx'")
    assert re.search(r"1 one +running.*\n.*2 two +running", m.monitor("guests"))
    m.send(ESCAPE + ESCAPE)
    m.expect("--- guest one")
    m.command("fourth", "got 'fourth'")


@target(limit=120)
def pasting_10_kb_loses_nothing(lab):
    m = two_terminals(lab)
    m.expect("terminal ready")
    m.send("count\r")
    m.send(PASTE + ".")
    m.expect(f"counted {len(PASTE)} sum {checksum(PASTE)}\\b", timeout=60)


@target(limit=90)
def output_in_the_background_is_kept(lab):
    m = two_terminals(lab, "flood=200")
    m.expect("terminal ready")
    time.sleep(2)
    m.silent("flood", 0.5)
    m.send(ESCAPE + "2")
    # All of it, because none was shown before.
    m.expect_in_order("--- guest two", "flood 0\r?\n", "flood 100\r?\n", "flood 199\r?\n",
                      "terminal ready", timeout=20)
    # Coming back shows the last screenful again.
    m.send(ESCAPE + "1")
    m.expect("--- guest one")
    m.send(ESCAPE + "2")
    m.expect_in_order("--- guest two", "flood 199\r?\n", "terminal ready")
    m.silent("flood 100", 0.5)


@target(limit=90)
def fast_output_is_complete(lab):
    m = two_terminals(lab)
    m.expect("terminal ready")
    start = m.console.position()
    m.command("flood", "flood 299\r?\n", timeout=40)
    lines = re.findall(r"flood (\d+)", m.console.text(start))
    assert [int(n) for n in lines] == list(range(300)), lines


@target(limit=90)
def all_shows_lines_with_names_and_the_prompt_again(lab):
    m = two_terminals(lab, lamina={"console": "all"})
    m.expect(r"one\| terminal ready|two\| terminal ready")
    m.expect(r"one\| terminal ready|two\| terminal ready")
    m.command("prompt", r"one\| > $")
    # Focus on two; its output leaves one's unfinished line alone.
    m.send(ESCAPE + "2")
    m.expect("--- guest two")
    m.command("word", r"\ntwo\| got 'word'")


def glyphs():
    """{rows: character} from the source of the hypervisor's font."""
    with open(os.path.join(TOP, "drivers", "fbcon_font.c")) as f:
        rows = re.findall(r"^\t\{ (0x.*?) \}", f.read(), re.M)
    assert len(rows) == 95
    return {tuple(int(r, 16) for r in row.split(", ")): chr(32 + i) for i, row in enumerate(rows)}


def read_screen(path):
    """The text on a screen that QEMU has dumped."""
    with open(path, "rb") as f:
        magic, size, depth, pixels = f.read().split(b"\n", 3)
    assert magic == b"P6" and depth == b"255"
    width, height = (int(n) for n in size.split())
    known = glyphs()
    lines = []
    for y in range(0, height - 15, 16):
        line = ""
        for x in range(0, width - 7, 8):
            cell = []
            for row in range(0, 16, 2):
                at = ((y + row) * width + x) * 3
                bits = [pixels[at + 3 * i + 1] > 64 for i in range(8)]
                cell.append(sum(bit << (4 - i) for i, bit in enumerate(bits[1:6])))
            line += known.get(tuple(cell), "\N{REPLACEMENT CHARACTER}")
        lines.append(line.rstrip())
    return "\n".join(lines)


@target(hosts=("qemu",), limit=90)
def without_serial_port_all_is_on_the_screen(lab):
    m = two_terminals(lab, lamina={"serial": "none"}, vga=True)
    dump = os.path.join(m.workdir, "screen.ppm")
    deadline = time.monotonic() + 40
    text = ""
    while time.monotonic() < deadline and "two| terminal ready" not in text:
        time.sleep(2)
        m.qmp("screendump", filename=dump)
        text = read_screen(dump)
    assert re.search(r"console: screen, \d+x\d+ \(no serial port\)", text), text
    assert "one| terminal ready" in text and "two| terminal ready" in text, text


@target(hosts=("qemu",), limit=90)
def uart_on_pci_is_found_with_its_interrupt(lab):
    m = two_terminals(lab, uart="pci")
    m.expect(r"console: PCI UART 00:\w+\.0 \[1b36:0002\], GSI \d+ as NMI")
    m.expect("terminal ready")
    m.command("first", "got 'first'")
    m.send(ESCAPE + "2")
    m.expect("--- guest two")
    m.expect("terminal ready")
    m.send("count\r" + PASTE[:2000] + ".")
    m.expect(f"counted 2000 sum {checksum(PASTE[:2000])}\\b", timeout=30)
