# SPDX-License-Identifier: BSD-2-Clause
"""Stock Linux as a hypervisor: Debian's cloud kernel, its own KVM modules and the VMM of
tests/bench/kvm/, which is the only process. Under QEMU kvm_amd, under Bochs kvm_intel."""
import dataclasses
import os
import re
import shutil
import subprocess
import tempfile

from lib.console import Console
from lib.machine import SPEED, TOP, emulator

EVENTFD_PORT, MMIO_USER_GPA = 0x520, 0xd0000000  # machine.h
# Linux reads IA32_MISC_ENABLE before it can handle a fault, and Bochs has none.
LINUX_MSRS = {0x1a0: 1, 0xe7: 0, 0xe8: 0}
PANIC = r"Kernel panic|vmm: failed"
END = r"vmm: end, (\d+) exits, (\d+) ticks"


@dataclasses.dataclass
class Vm:
    """A virtual machine. kernel: a small guest by name, or "linux" for Debian's kernel with an
    `initrd`, named from the build folder on; memory: MiB; cpus: 1 or 2, each on its own core if
    there are as many. huge: the host may use huge pages for its memory, else it must not; prefault:
    it has them ready. words: others that vmm takes. For the payload the command line gets where KVM's
    own devices are."""
    kernel: str = "payload"
    cmdline: str = ""
    memory: int = 64
    cpus: int = 1
    huge: bool = False
    prefault: bool = False
    initrd: str = ""
    words: tuple = ()

    def files(self, build):
        if self.kernel == "linux":
            return {"vmlinuz": f"{build}/demo/vmlinuz",
                    os.path.basename(self.initrd): f"{build}/{self.initrd}"}
        return {self.kernel: f"{build}/guests/{self.kernel}.bin"}

    def all_words(self):
        line = self.cmdline
        if self.kernel == "payload":
            line = f"env=kvm port_eventfd={EVENTFD_PORT:#x} mmio_user={MMIO_USER_GPA:#x} {line}"
        kernel = f"kernel=/vmlinuz initrd=/{os.path.basename(self.initrd)}" \
            if self.kernel == "linux" else f"kernel=/{self.kernel}"
        return ["vm", *kernel.split(), f"memory={self.memory}", f"cpus={self.cpus}",
                f"cmdline={line.strip()}", *(["huge"] if self.huge else []),
                *(["prefault"] if self.prefault else []), *self.words]


class KvmHost:
    """Boots at once and runs the VMs one after another, then stops. params: KVM's module parameters,
    such as "kvm.nx_huge_pages=force". The rest as for emulator.Emulator."""

    def __init__(self, host, build, workdir, log, vms, params=(), **options):
        self.host, self.build, self.workdir = host, build, workdir
        words = [*params, *(word for vm in vms for word in vm.all_words())]
        with open(self.path("words"), "w") as f:
            f.write("".join(f"{word}\n" for word in words))
        files = {name: path for vm in vms for name, path in vm.files(build).items()}
        initrd = self.initramfs(files | {"init": f"{build}/bench/kvm/vmm",
                                         "words": self.path("words")})
        # Mitigations, halt polling and all else as Debian's users have them.
        line = "console=ttyS0 quiet panic=-1 printk.time=0 printk.devkmsg=on {}"
        options.setdefault("cores", 1)
        options.setdefault("memory", 1024)
        kernel, image = f"{build}/demo/vmlinuz", None
        if host == "qemu":
            options["linux"] = (os.path.abspath(kernel), initrd, line.format(""))
        else:
            image = self.disk(kernel, initrd, line.format(
                f"initrd=\\EFI\\linux\\initrd tsc_early_khz={emulator.BOCHS_IPS // 1000} "))
            options["msrs"] = LINUX_MSRS | options.get("msrs", {})
        self.emulator = emulator.Emulator(host, image, workdir, **options)
        self.console = Console(self.emulator.start(), log, PANIC)

    def path(self, name):
        return os.path.join(self.workdir, name)

    def initramfs(self, files):
        os.mkdir(self.path("root"))
        for name, path in files.items():
            os.symlink(os.path.abspath(path), self.path(f"root/{name}"))
        self.run(f"{TOP}/tools/mkinitramfs", self.path("host.img"), "/bin/busybox", self.path("root"),
                 f"{self.build}/bench/kvm/modules=lib/modules")
        return self.path("host.img")

    def disk(self, kernel, initrd, line):
        with open(self.path("cmdline"), "w") as f:
            f.write(line)
        files = {f"{self.build}/efi/linux.efi": "/EFI/BOOT/BOOTX64.EFI", kernel: "/EFI/linux/kernel",
                 initrd: "/EFI/linux/initrd", self.path("cmdline"): "/EFI/linux/cmdline"}
        self.run(f"{TOP}/tools/mkimage", self.path("disk"), *(f"{k}={v}" for k, v in files.items()))
        return self.path("disk")

    @staticmethod
    def run(*argv):
        done = subprocess.run(argv, capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(done.stderr.strip())

    def expect(self, pattern, timeout=60.0):
        return self.console.expect(pattern, timeout * SPEED[self.host])

    def vm(self, timeout=200.0):
        """All lines of the next VM, once it has ended; the first says with what TSC it started."""
        self.expect(r"vmm: start ", timeout)
        start = self.console.mark
        self.expect(END, timeout)
        lines = self.console.text(start).partition("vmm: end")[0].strip().splitlines()
        failed = [line for line in lines if line.startswith("FAIL")]
        assert not failed, failed
        return lines

    def close(self):
        self.emulator.stop()
        self.console.thread.join(timeout=5)

    def check(self):
        """For Lab: nothing but what the caller has looked at."""


def boot_kvm(lab, vms, **options):
    """A machine with KVM that runs these; it ends with the test."""
    workdir = tempfile.mkdtemp(prefix="lamina-test.")
    lab.folders.append(workdir)
    host = KvmHost(lab.host, lab.build, workdir, lab.log_path(), vms, limit=lab.test.limit,
                   **(lab.test.options | options))
    lab.machines.append(host)
    return host


def results(lines):
    """{key: ticks} of the payload's lines `result KEY TICKS`."""
    return {m[1]: int(m[2]) for m in (re.match(r"result (\S+) (\d+)$", line) for line in lines) if m}


def marks(lines):
    """{number: (ticks since the start, exits)} of the lines `mark NUMBER TICKS EXITS`."""
    found = (re.match(r"mark (\d+) (\d+) (\d+)$", line) for line in lines)
    return {int(m[1]): (int(m[2]), int(m[3])) for m in found if m}
