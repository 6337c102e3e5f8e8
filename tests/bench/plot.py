# SPDX-License-Identifier: BSD-2-Clause
"""The results as a picture: bars on a logarithmic scale, one panel for each emulator."""
import math
from xml.sax.saxutils import escape

import goals
import keys

LAMINA, LAMINA2, KVM, KVM2 = "#0b6e99", "#7fb8d1", "#d9a441", "#eed6a6"
GOAL, INK, FAINT, STRIPE = "#b3261e", "#222222", "#dddddd", "#f6f7f8"
LABELS, PANEL, GAP, MARGIN = 190, 440, 40, 24  # pixels across
LABEL = 36                                     # a number
BAR, SPACE, HEAD, FOOT = 11, 12, 96, 62        # and down
STYLE = (f"text{{font-family:'DejaVu Sans',Verdana,sans-serif;font-size:12px;fill:{INK}}}"
         ".small{font-size:10px;paint-order:stroke;stroke:white;stroke-width:3px}"
         ".title{font-size:19px;font-weight:bold}"
         ".panel{font-size:14px;font-weight:bold}.note{fill:#555555;stroke:none}")


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


class Block:
    """Rows of bars for the same things on each emulator. series: {name: (color, bars(host) -> [n or
    None for each row])}; goal(host) -> [n or None for each row]."""

    def __init__(self, title, note, rows, series, goal, goal_name):
        self.title, self.note, self.rows, self.series = title, note, rows, series
        self.goal, self.goal_name = goal, goal_name
        self.row = BAR * len(series) + SPACE
        self.height = HEAD + self.row * len(rows) + FOOT

    def draw(self, p, top, width):
        p.text(MARGIN, top + 22, self.title, "title")
        p.text(MARGIN, top + 43, self.note, "note")
        self.legend(p, MARGIN, top + 66)
        top += HEAD
        for i, name in enumerate(self.rows):
            if i % 2 == 0:
                p.box(MARGIN, top + i * self.row, width - 2 * MARGIN, self.row, STRIPE)
            p.text(MARGIN + LABELS - 10, top + i * self.row + self.row / 2 + 4, name, "", "end")
        values = [n for _, bars in self.series.values() for host in keys.HOSTS for n in bars(host)]
        for i, host in enumerate(keys.HOSTS):
            left = MARGIN + LABELS + i * (PANEL + GAP)
            self.panel(p, host, Scale(values, left, PANEL), top)

    def legend(self, p, x, y):
        for name, (color, _) in self.series.items():
            p.box(x, y - BAR + 1, 18, BAR, color)
            p.text(x + 24, y, name)
            x += 50 + 7.2 * len(name)
        p.line(x, y - BAR - 2, x, y + 2, GOAL, 2)
        p.text(x + 8, y, self.goal_name)

    def panel(self, p, host, scale, top):
        bottom = top + self.row * len(self.rows)
        p.text(scale.left, top - 8, keys.HOSTS[host], "panel")
        for n in scale.ticks():
            p.line(scale.x(n), top, scale.x(n), bottom, FAINT)
            p.text(scale.x(n), bottom + 14, short(n), "small", "middle")
        bars = [(color, numbers(host)) for color, numbers in self.series.values()]
        for i, goal in enumerate(self.goal(host)):
            y = top + self.row * i + SPACE / 2
            for j, (color, numbers) in enumerate(bars):
                if numbers[i] is not None:
                    p.box(scale.left, y + j * BAR, max(scale.x(numbers[i]) - scale.left, 1), BAR, color)
            if goal:
                p.line(scale.x(goal), y - 4, scale.x(goal), y + BAR + 2, GOAL, 2)
            for j, (_, numbers) in enumerate(bars):
                if numbers[i] is not None:
                    x = scale.x(numbers[i])
                    if goal and not j and -LABEL < x - scale.x(goal) < 4:
                        x = max(x, scale.x(goal))  # the mark would go through the number
                    p.text(x + 4, y + (j + 1) * BAR - 1, short(numbers[i]), "small")
        p.line(scale.left, top, scale.left, bottom, INK)


def short(n):
    for size, unit in ((10 ** 9, " G"), (10 ** 6, " M"), (10 ** 4, " k")):
        if n >= size:
            return f"{n / (1000 if unit == ' k' else size):.3g}{unit}"
    return f"{n:,.0f}"


def goal_of(results, host, key):
    """The most instructions with which Lamina meets its goals; what bare takes is not its own."""
    kvm = goals.kvm(results, host, key)
    if goals.ratio(results, host, key) is None:
        return None
    limit = kvm / goals.RATIO + (keys.value(results, host, "bare", key) or 0)
    return min(limit, keys.SHORT_LIMIT) if host == "bochs" and key in keys.SHORT else limit


def round_trips(results):
    names = {key: name for key, name in keys.ROUND_TRIPS.items()
             if any(keys.value(results, host, "lamina", key) is not None for host in keys.HOSTS)}

    def numbers(env):
        return lambda host: [keys.value(results, host, env, key) for key in names]

    return Block("What a guest's operations cost",
                 "Instructions from the guest's instruction to its next one, those of the emulated "
                 "world switch included. Logarithmic; less is better.", list(names.values()),
                 {"Lamina": (LAMINA, numbers("lamina")), "KVM": (KVM, numbers("kvm")),
                  "KVM without its loop over the L1 cache": (KVM2, numbers(keys.NOFLUSH))},
                 lambda host: [goal_of(results, host, key) for key in names],
                 f"Lamina's goal: 1/{goals.RATIO} of KVM, {keys.SHORT_LIMIT} for short ones on Bochs")


def slots(results):
    def numbers(env, kind):
        return lambda host: [goals.slot_cost(results, host, env, size, kind) for size in keys.SIZES]

    kvm = numbers("kvm", "")
    return Block("One small slot deleted and created, all memory touched again",
                 "Instructions more than touching it takes anyway. The guest's memory is mapped in "
                 "4 KiB pages before. Logarithmic; less is better.",
                 [f"{size} MiB" for size in keys.SIZES],
                 {"Lamina": (LAMINA, numbers("lamina", "")),
                  "Lamina, zap=all": (LAMINA2, numbers("lamina", "_all")), "KVM": (KVM, kvm),
                  "KVM, huge pages": (KVM2, numbers("kvm", "_huge"))},
                 lambda host: [n and n / goals.SLOT_RATIO for n in kvm(host)],
                 f"Lamina's goal: 1/{goals.SLOT_RATIO} of KVM")


def svg(results):
    blocks = [block for block in (round_trips(results), slots(results)) if block.rows]
    width = LABELS + len(keys.HOSTS) * (PANEL + GAP) + 2 * MARGIN
    height = sum(block.height for block in blocks) + 40
    p, top = Picture(width, height), 16
    for block in blocks:
        block.draw(p, top, width)
        top += block.height
    host = results.get("host", {})
    p.text(MARGIN, height - 14, "; ".join(filter(None, (
        host.get("qemu", ""), host.get("bochs", ""), "Linux " + host.get("kernel", "").split(" (")[0]))),
        "small note")
    return str(p)
