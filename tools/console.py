# SPDX-License-Identifier: BSD-2-Clause
"""The terminal as the machine's serial line: raw, with Ctrl-a x to leave, as in QEMU."""
import os
import select
import sys
import termios
import tty

PREFIX = 0x01  # Ctrl-a
HELP = "Ctrl-a x leaves, Ctrl-a a sends Ctrl-a"


class Keys:
    """Takes the keys that are meant for us out of what was typed."""

    def __init__(self):
        self.pending = False
        self.leave = False

    def filter(self, data):
        out = bytearray()
        for byte in data:
            if not self.pending:
                if byte == PREFIX:
                    self.pending = True
                else:
                    out.append(byte)
                continue
            self.pending = False
            if byte in b"xX":
                self.leave = True
                break
            if byte in (PREFIX, ord("a")):
                out.append(PREFIX)
        return bytes(out)


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


def pump(line, infd, outfd, alive):
    """Carry bytes both ways until the user leaves or the machine ends; the reason."""
    keys = Keys()
    inputs = [line, infd]
    while True:
        ready, _, _ = select.select(inputs, [], [], 0.5)
        if line in ready:
            data = line.recv(65536)
            if not data:
                return "the machine has ended"
            write_all(outfd, data)
        if infd in ready:
            data = os.read(infd, 4096)
            if not data:
                inputs.remove(infd)  # end of a pipe: show what the machine still says
            line.sendall(keys.filter(data))
            if keys.leave:
                return "left"
        if not ready and not alive():
            return "the machine has ended"


def interact(line, alive):
    """Bridge until the end; the terminal is as it was afterwards."""
    infd, outfd = sys.stdin.fileno(), sys.stdout.fileno()
    saved = termios.tcgetattr(infd) if os.isatty(infd) else None
    try:
        if saved:
            tty.setraw(infd)
        return pump(line, infd, outfd, alive)
    except ConnectionError:
        return "the machine has ended"
    finally:
        if saved:
            termios.tcsetattr(infd, termios.TCSADRAIN, saved)
