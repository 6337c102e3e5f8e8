# SPDX-License-Identifier: BSD-2-Clause
"""A machine that boots Lamina with a given configuration and files, for one test."""
import json
import os
import re
import socket
import subprocess
import sys
import time

from lib.console import Console, Timeout

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tools"))
import emulator  # noqa: E402  (it is in tools/)

ESCAPE = "\x1d"
PROMPT = r"lamina> "
STARTED = r"for the monitor ---"
PANIC = r"\*\*\* Lamina panic"       # how a dump begins
HALTED = r"\*\*\* (halted|rebooting)"  # how it ends
SPEED = {"qemu": 1, "bochs": 4}  # how many times longer something may take


class Guest:
    """One [guest] section. `kernel` is a small guest of tests/guests/ by name, "linux" for the
    stock kernel with the busybox initramfs, or a path; `initrd` "virtio.img" is one that finds
    the root file system on a virtio disk, and "" is none. Other keys go to the file as they are."""

    def __init__(self, name, kernel, *, memory=None, cores=None, cmdline=None, initrd=None, **keys):
        self.name, self.kernel, self.initrd = name, kernel, initrd
        linux = kernel == "linux"
        if linux and initrd is None:
            self.initrd = "busybox"
        self.keys = {"memory": memory or ("256M" if linux else "32M")}
        if cores is not None:
            self.keys["cores"] = str(cores)
        if cmdline is None and linux:
            cmdline = f"console=ttyS0 guest={name} quiet"
        if cmdline is not None:
            self.keys["cmdline"] = cmdline
        self.keys |= {k: str(v) for k, v in keys.items()}

    def section(self):
        lines = [f"[guest {self.name}]", f"kernel = {self.place(self.kernel)}"]
        if self.initrd:
            lines.append(f"initrd = {self.place(self.initrd)}")
        return "\n".join(lines + [f"{k} = {v}" for k, v in self.keys.items()]) + "\n"

    @staticmethod
    def place(name):
        return "\\EFI\\lamina\\" + os.path.basename(name)

    def files(self, build):
        known = {"linux": f"{build}/demo/vmlinuz", "busybox": f"{build}/demo/initrd.img",
                 "virtio.img": f"{build}/demo/virtio.img"}
        out = {}
        for name in filter(None, (self.kernel, self.initrd)):
            path = known.get(name) or (name if os.path.isabs(name) else f"{build}/guests/{name}.bin")
            out[self.place(name).replace("\\", "/")] = path
        return out


def configuration(guests, lamina):
    text = "[lamina]\n" + "".join(f"{k} = {v}\n" for k, v in lamina.items())
    return text + "".join("\n" + g.section() for g in guests)


class Machine:
    """Boots at once. Ends by close(), which the runner calls whatever happens.

    host: "qemu" or "bochs". guests: list of Guest; lamina: keys of the [lamina] section; or conf:
    the whole configuration file as text or bytes (None: no such file). files: {path on the
    partition: file}; loader: another UEFI application. The rest as for emulator.Emulator.
    """

    def __init__(self, host, build, workdir, log, *, guests=(), lamina=None, conf="",
                 files=None, loader=None, **options):
        self.host, self.workdir, self.log = host, workdir, log
        self.expect_panic = False
        self.started = False
        if conf == "":
            conf = configuration(guests, lamina or {})
        content = {"/EFI/BOOT/BOOTX64.EFI": loader or f"{build}/BOOTX64.EFI"}
        if conf is not None:
            path = os.path.join(workdir, "lamina.conf")
            with open(path, "wb") as f:
                f.write(conf if isinstance(conf, bytes) else conf.encode())
            content["/EFI/lamina/lamina.conf"] = path
        for guest in guests:
            content |= guest.files(build)
        content |= files or {}
        image = os.path.join(workdir, "lamina.img")
        done = subprocess.run([f"{TOP}/tools/mkimage", image]
                              + [f"{src}={dst}" for dst, src in content.items()],
                              capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(done.stderr.strip())
        options.setdefault("cores", max(1, len(guests)))
        options.setdefault("memory", 512 if host == "bochs" else 768)
        self.emulator = emulator.Emulator(host, image, workdir, **options)
        self.console = Console(self.emulator.start(), log, HALTED)

    @property
    def vendor(self):
        return self.emulator.vendor

    def expect(self, pattern, timeout=30.0):
        """As Console.expect(); the time is for QEMU, Bochs gets more."""
        return self.console.expect(pattern, timeout * SPEED[self.host])

    def expect_in_order(self, *patterns, timeout=30.0):
        return [self.expect(p, timeout) for p in patterns]

    def silent(self, pattern, seconds=3.0):
        self.console.silent(pattern, seconds)

    def send(self, text):
        self.console.send(text)

    def command(self, text, pattern, timeout=15.0):
        """Type a line, then wait for a pattern."""
        self.send(text + "\r")
        return self.expect(pattern, timeout)

    def wait_started(self, timeout=40.0):
        """Until the hypervisor listens to its console."""
        if not self.started:
            self.console.expect(STARTED, timeout * SPEED[self.host], anywhere=True)
            self.started = True

    def open_monitor(self):
        self.wait_started()
        self.send(ESCAPE)
        self.expect(PROMPT)

    def monitor(self, *commands, timeout=15.0):
        """Run commands in the monitor, which is opened if it is not; the output of the last one.

        The monitor stays open; `console NAME` leaves it, then the caller waits for what follows."""
        if not self.in_monitor():
            self.open_monitor()
        for command in commands:
            start = self.console.position()
            self.send(command + "\r")
            if command.split()[0] in ("console", "reboot"):
                return ""
            # First its echo: a prompt in front of that was repeated behind a message.
            echo = command[-16:]
            self.expect(re.escape(echo) + r" *\r*\n", timeout)
            self.expect(PROMPT, timeout)
        text = self.console.text(start)
        return text[text.find("\n", text.find(echo)) + 1:text.rfind("lamina> ")]

    def in_monitor(self):
        text = self.console.text(max(0, self.console.position() - 64))
        return text.endswith("lamina> ")

    def wait_shell(self, timeout=60.0):
        """Until a shell of the focused guest answers. Asks again and again, because what is typed
        while a kernel boots is lost, and because an old prompt looks like a new one."""
        deadline = time.monotonic() + timeout * SPEED[self.host]
        self.wait_started()
        while True:
            mark = f"ready-{self.console.position()}"
            self.send(f"echo re''{mark[2:]}\r")
            try:
                self.console.expect(mark, 3.0 * SPEED[self.host])
                return
            except Timeout:
                if self.console.ended or time.monotonic() > deadline:
                    raise

    def shell(self, command, timeout=15.0):
        """A command in the focused guest's shell; its output."""
        start = self.console.position()
        # The quotes make the echo of what is typed differ from what the shell prints.
        self.send(f"echo be''gin-{start}; {command}; echo e''nd-{start}\r")
        self.expect(f"end-{start}", timeout)
        text = self.console.text(start)
        begin = text.find(f"begin-{start}") + len(f"begin-{start}")
        return text[begin:text.find(f"end-{start}")].strip()

    def expect_end(self, timeout=30.0):
        self.console.expect_end(timeout * SPEED[self.host])

    def qmp(self, command, **arguments):
        """One command to QEMU's control socket; its result."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(os.path.join(self.workdir, "qmp.sock"))
            stream = s.makefile("rw")
            json.loads(stream.readline())  # greeting
            for request in ({"execute": "qmp_capabilities"},
                            {"execute": command, "arguments": arguments}):
                stream.write(json.dumps(request) + "\n")
                stream.flush()
                reply = json.loads(stream.readline())
                while "event" in reply:
                    reply = json.loads(stream.readline())
                if "error" in reply:
                    raise AssertionError(f"{command}: {reply['error'].get('desc')}")
            return reply["return"]

    def close(self):
        self.emulator.stop()
        self.console.thread.join(timeout=5)

    def check(self):
        """After the test: a hypervisor that panicked fails the test, whatever else was seen."""
        if not self.expect_panic and re.search(PANIC, self.console.text()):
            raise AssertionError("the hypervisor panicked; the console's last lines:\n"
                                 + self.console.tail(40))


__all__ = ["Guest", "Machine", "Timeout", "configuration", "ESCAPE", "PROMPT"]
