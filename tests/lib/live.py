# SPDX-License-Identifier: BSD-2-Clause
"""For tests that change a guest while it runs: the small guest `storm` answers questions about its
memory, the monitor runs on another guest's core."""
import re
import time

from lib.machine import PROMPT, SPEED, Guest


def boot(lab, *guests, lamina=None, **options):
    """The first guest keeps the focus, so that the monitor runs on its core and the others go on."""
    m = lab.boot(list(guests), lamina={"spare": "32M"} | (lamina or {}), **options)
    m.wait_started()
    # All of them, in any order: a message would be taken for the end of a command.
    for g in guests:
        m.console.expect(f"guest {g.name}: started on core", 60 * SPEED[m.host],
                         anywhere=True)
    # What is typed before is lost when it resets its UART.
    if guests[0].kernel == "terminal":
        m.console.expect("terminal ready", 60 * SPEED[m.host], anywhere=True)
    return m


def two_guests(lab, by="terminal", cpu=None, **keys):
    options = {"cpu": cpu} if cpu else {}
    return boot(lab, Guest("by", by, cores=0), Guest("one", "storm", cores=1, **keys), **options)


def message(m, text, count=1, timeout=30):
    """Until the log has had the message so often, while the monitor is open. Messages come at any
    time, and the prompt appears again behind each; so afterwards wait for a prompt of our own."""
    deadline = time.monotonic() + timeout * SPEED[m.host]
    while len(re.findall(text, m.console.text())) < count:
        assert time.monotonic() < deadline, f"no '{text}':\n{m.console.tail()}"
        time.sleep(0.2)
    mark = f"mark-{m.console.position()}"
    m.send(mark + "\r")
    m.expect(f"unknown command '{mark}'")
    m.expect(PROMPT)


def run(m, *commands, guest="one", back="by"):
    """Lines to the small guest `storm` and its answers; the monitor then runs on another core."""
    m.monitor(f"console {guest}")
    m.expect(f"--- guest {guest}")
    answers = []
    for command in commands:
        word, _, rest = command.partition(" ")
        tag = f"{m.console.position():x}"
        answers.append(m.command(f"{word} {tag} {rest}", fr"\n{tag}: (\w+)\r").group(1))
    m.monitor(f"console {back}")
    m.expect(f"--- guest {back}")
    return answers


def ask(m, *words, **guests):
    return run(m, " ".join(words), **guests)[0]
