# SPDX-License-Identifier: BSD-2-Clause
"""The serial line of a machine under test: wait for text, send text, keep everything."""
import re
import threading
import time

# Cursor movements and colours of the firmware, which would sit between the words of a line.
ESCAPES = re.compile(rb"\x1b(\[[0-9;=?]*[A-Za-z]|[()][A-Z0-9])")
UNFINISHED = re.compile(rb"\x1b(\[[0-9;=?]*|[()])?\Z")


class Timeout(AssertionError):
    pass


class Console:
    """A thread reads the line into memory and a log file, so that the machine never waits for
    the test and the log is complete whenever the test ends."""

    def __init__(self, line, log_path, fatal=None):
        """fatal: a regular expression after which waiting for anything else is in vain."""
        self.line = line
        self.fatal = re.compile(fatal.encode()) if fatal else None
        self.log_path = log_path
        self.buffer = bytearray()  # everything, without escape sequences
        self.raw_tail = bytearray()
        self.mark = 0              # what expect() has consumed
        self.ended = False
        self.news = threading.Condition()
        self.thread = threading.Thread(target=self.reader, daemon=True)
        self.thread.start()

    def reader(self):
        with open(self.log_path, "wb") as log:
            while True:
                try:
                    data = self.line.recv(65536)
                except (OSError, ValueError):  # closed by stop()
                    data = b""
                if data:
                    log.write(data)
                    log.flush()
                with self.news:
                    if data:
                        self.take(data)
                    else:
                        self.ended = True
                    self.news.notify_all()
                if not data:
                    return

    def take(self, data):
        """Append without escape sequences; one that is cut off waits for its end. A guest's may
        never end, because the monitor was opened in its middle: that is no sequence then."""
        self.raw_tail += data
        unfinished = UNFINISHED.search(self.raw_tail)
        cut = unfinished.start() if unfinished else len(self.raw_tail)
        self.buffer += ESCAPES.sub(b"", bytes(self.raw_tail[:cut]))
        del self.raw_tail[:cut]

    def expect(self, pattern, timeout=30.0, anywhere=False):
        """Wait for a regular expression after what was matched before, or with `anywhere` in all
        that was received; the match object, of str.

        Raises Timeout, also at once if the machine ends without it."""
        regex = re.compile(pattern.encode(), re.MULTILINE)
        deadline = time.monotonic() + timeout
        with self.news:
            while True:
                match = regex.search(self.buffer, 0 if anywhere else self.mark)
                if match:
                    self.mark = max(self.mark, match.end())
                    return re.compile(pattern, re.MULTILINE).search(
                        match.group(0).decode(errors="replace")) or match
                left = deadline - time.monotonic()
                if self.fatal and self.fatal.search(self.buffer):
                    raise Timeout(f"expected /{pattern}/; the hypervisor stopped:\n"
                                  + self.tail(40))
                if self.ended or left <= 0:
                    why = "the machine ended" if self.ended else f"nothing in {timeout:.0f} s"
                    raise Timeout(f"expected /{pattern}/: {why}; the console's last lines:\n"
                                  + self.tail())
                self.news.wait(min(left, 1.0))

    def expect_end(self, timeout=30.0):
        """Wait until the machine ends."""
        deadline = time.monotonic() + timeout
        with self.news:
            while not self.ended:
                if time.monotonic() > deadline:
                    raise Timeout(f"the machine still runs after {timeout:.0f} s; its last lines:\n"
                                  + self.tail())
                self.news.wait(1.0)

    def silent(self, pattern, seconds):
        """Fail if the pattern appears within so many seconds."""
        try:
            match = self.expect(pattern, seconds)
        except Timeout:
            return
        raise AssertionError(f"did not expect /{pattern}/, got {match.group(0)!r}")

    def send(self, text):
        data = text.encode("latin-1") if isinstance(text, str) else text
        self.line.sendall(data)

    def text(self, start=0):
        """Everything that was received, from an offset (see position()) on."""
        with self.news:
            return self.buffer[start:].decode(errors="replace").replace("\r", "")

    def position(self):
        with self.news:
            return len(self.buffer)

    def tail(self, lines=15):
        text = self.buffer.decode(errors="replace").replace("\r", "")
        return "\n".join("| " + line for line in text.splitlines()[-lines:])
