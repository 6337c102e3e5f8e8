# SPDX-License-Identifier: BSD-2-Clause
"""The results as a picture: bars on a logarithmic scale, one panel for each emulator."""
import math
from xml.sax.saxutils import escape

import goals
import keys

LAMINA, KVM, GOAL, INK, FAINT = "#0b6e99", "#d9a441", "#b3261e", "#222222", "#dddddd"
LABELS, PANEL, GAP, MARGIN = 190, 440, 40, 24  # pixels across
ROW, BAR, TOP = 34, 11, 112                    # and down
STYLE = (f"text{{font-family:'DejaVu Sans',Verdana,sans-serif;font-size:12px;fill:{INK}}}"
         ".small{font-size:10px}.title{font-size:19px;font-weight:bold}"
         ".panel{font-size:14px;font-weight:bold}.note{fill:#555555}")


class Picture:
    def __init__(self, width, height):
        self.parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                      f'viewBox="0 0 {width} {height}">', f"<style>{STYLE}</style>",
                      f'<rect width="{width}" height="{height}" fill="white"/>']

    def text(self, x, y, text, kind="", anchor="start"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" '
                          f'text-anchor="{anchor}">{escape(text)}</text>')

    def box(self, x, y, width, height, fill):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
                          f'height="{height:.1f}" fill="{fill}"/>')

    def line(self, x1, y1, x2, y2, color, width=1, dash=""):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                          f'stroke="{color}" stroke-width="{width}"'
                          + (f' stroke-dasharray="{dash}"' if dash else "") + "/>")

    def __str__(self):
        return "\n".join([*self.parts, "</svg>"]) + "\n"


class Scale:
    """Logarithmic, from a power of ten to another."""

    def __init__(self, values, left, width):
        values = [v for v in values if v and v > 0] or [1, 10]
        self.low = math.floor(math.log10(min(values)))
        self.high = max(math.ceil(math.log10(max(values) * 1.6)), self.low + 1)
        self.left, self.width = left, width

    def x(self, n):
        part = (math.log10(max(n, 10 ** self.low)) - self.low) / (self.high - self.low)
        return self.left + part * self.width

    def ticks(self):
        return [10 ** n for n in range(self.low, self.high + 1)]


def short(n):
    for size, unit in ((10 ** 9, "G"), (10 ** 6, "M"), (10 ** 4, "k")):
        if n >= size:
            scaled = n / (1000 if unit == "k" else size)
            return f"{scaled:.3g} {unit}"
    return f"{n:,}"


def measured(results, host, key):
    return [keys.value(results, host, env, key) for env in ("lamina", "kvm")]


def bar(p, scale, y, n, color):
    if n is None:
        return
    end = scale.x(n) if n else scale.left
    p.box(scale.left, y, max(end - scale.left, 1), BAR, color)
    p.text(end + 4, y + BAR - 1, short(n), "small")


def goal_of(results, host, key):
    """The most instructions with which Lamina meets its goals; what bare takes is not its own."""
    kvm = goals.cost(results, host, "kvm", key)
    if kvm is None or keys.value(results, host, "lamina", key) is None:
        return None
    limit = kvm / goals.RATIO + (keys.value(results, host, "bare", key) or 0)
    return min(limit, keys.SHORT_LIMIT) if host == "bochs" and key in keys.SHORT else limit


def panel(p, results, host, names, left, top):
    scale = Scale([n for key in names for n in measured(results, host, key)], left, PANEL)
    bottom = top + ROW * len(names)
    p.text(left, top - 14, keys.HOSTS[host], "panel")
    for n in scale.ticks():
        p.line(scale.x(n), top, scale.x(n), bottom, FAINT)
        p.text(scale.x(n), bottom + 14, short(n), "small", "middle")
    for row, key in enumerate(names):
        y = top + ROW * row + (ROW - 2 * BAR) / 2
        for i, (n, color) in enumerate(zip(measured(results, host, key), (LAMINA, KVM))):
            bar(p, scale, y + i * BAR, n, color)
        goal = goal_of(results, host, key)
        if goal:
            p.line(scale.x(goal), y - 4, scale.x(goal), y + BAR + 2, GOAL, 2)
    p.line(left, top, left, bottom, INK)


def legend(p, x, y):
    for color, name in ((LAMINA, "Lamina"), (KVM, "KVM")):
        p.box(x, y - BAR + 1, 18, BAR, color)
        p.text(x + 24, y, name)
        x += 40 + 8 * len(name) + 24
    p.line(x, y - BAR - 2, x, y + 2, GOAL, 2)
    p.text(x + 8, y, "Lamina's goal")


def svg(results):
    names = {key: name for key, name in (keys.ROUND_TRIPS | keys.EDITS_PLOTTED).items()
             if any(n is not None for host in keys.HOSTS for n in measured(results, host, key))}
    width = LABELS + len(keys.HOSTS) * (PANEL + GAP) + 2 * MARGIN
    bottom = TOP + ROW * len(names)
    p = Picture(width, bottom + 52)
    p.text(MARGIN, 34, "What a guest's operations cost: Lamina and KVM", "title")
    p.text(MARGIN, 56, "Instructions from the guest's instruction to the next one, the world "
           "switches' included as the emulator counts them. Logarithmic; less is better.", "note")
    legend(p, MARGIN, 80)
    for row, name in enumerate(names.values()):
        y = TOP + ROW * row
        if row % 2 == 0:
            p.box(MARGIN, y, width - 2 * MARGIN, ROW, "#f6f7f8")
        p.text(MARGIN + LABELS - 10, y + ROW / 2 + 4, name, "", "end")
    for i, host in enumerate(keys.HOSTS):
        panel(p, results, host, names, MARGIN + LABELS + i * (PANEL + GAP), TOP)
    host = results.get("host", {})
    p.text(MARGIN, bottom + 40, "; ".join(filter(None, (
        host.get("qemu", ""), host.get("bochs", ""), host.get("kernel", "").split(" (")[0]))),
        "small note")
    return str(p)
