# SPDX-License-Identifier: BSD-2-Clause
"""Starting and stopping the emulated machines that Lamina boots on: QEMU (SVM) and Bochs (VMX).

One class, Emulator. The machine's first serial line is `line`, an object with recv(), sendall(),
fileno() and close(). Everything that a run writes is in its own folder; stop() leaves no process
behind, however the run ended.
"""
import os
import shutil
import signal
import socket
import subprocess
import time

OVMF_CODE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
OVMF_VARS = "/usr/share/OVMF/OVMF_VARS_4M.fd"
OVMF_BOCHS = "/usr/share/ovmf/OVMF.fd"
VGABIOS = ("/usr/share/vgabios/vgabios.bin", "/usr/share/seabios/vgabios-stdvga.bin")

# EPYC rather than max, which adds 5-level paging. TCG has no SVM features but nested paging; what
# it lacks of the model it leaves out with a warning in qemu.log.
QEMU_CPU = "EPYC,+svm,+npt"
BOCHS_CPU = "corei7_skylake_x"
BOCHS_IPS = 50_000_000  # and ticks of the TSC, whatever CPUID says
BOCHS_SVM_CPUS = ("trinity_apu", "ryzen")

# The models of IOMMUs, by vendor. Both remap the interrupts and the DMA of the AMD CPU; with pt=on
# the AMD one of QEMU 10 translates nothing.
IOMMUS = {"intel": "intel-iommu,intremap=on,aw-bits=48", "amd": "amd-iommu,intremap=on,pt=off"}

BOCHSRC = """\
display_library: term
plugin_ctrl: unmapped=true, biosdev=true, speaker=false, extfpuirq=true, parallel=false, \
serial=true, gameport=false
memory: guest={memory}, host={host_memory}
romimage: file={ovmf}
vgaromimage: file={vgabios}
cpu: model={cpu}, count={cores}, ips={ips}, reset_on_triple_fault=0, msrs=msrs.def, ignore_bad_msrs=0
pci: enabled=1, chipset=i440fx
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path=disk.img, mode=flat
boot: disk
com1: enabled=1, mode=socket-client, dev=localhost:{port}
port_e9_hack: enabled=0
magic_break: enabled=1
log: bochs.log
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
clock: {clock}
{extra}
"""
MSR_LINE = "0x{:03x} 0 {:08x} {:08x} 00000000 00000000 00000000 00000000\n"
# Microcode and platform MSRs that OVMF and Linux read and that Bochs does not have.
BOCHS_MSRS = {0x017: 0, 0x08B: 0}


class EmulatorError(Exception):
    pass


class PipeLine:
    """A serial line on QEMU's standard input and output. Not a socket, because QEMU writes single
    characters, of which a socket's buffer takes a few hundred and a pipe's 65536: guests that poll
    with a bounded wait would lose some whenever this machine is busy."""

    def __init__(self, process):
        self.into, self.out = process.stdin, process.stdout

    def fileno(self):
        return self.out.fileno()

    def recv(self, size):
        return os.read(self.out.fileno(), size)

    def sendall(self, data):
        while data:
            data = data[os.write(self.into.fileno(), data):]

    def close(self):
        self.into.close()
        self.out.close()


class Emulator:
    """One emulated machine.

    host: "qemu" or "bochs"; image: the disk; workdir: an existing folder for this run only.
    cores, memory (MiB), cpu (the emulator's name of a model, default see above).
    accel: QEMU's accelerator, "tcg" or "kvm". limit: seconds after which the machine is killed.
    icount: QEMU executes deterministically, one instruction a tick of 2^icount ns.
    gdb: QEMU waits for gdb on port 1234. vga: with a display adapter (QEMU; Bochs always has one).
    realtime: Bochs keeps to the wall clock instead of a fixed, repeatable one.
    uart: "isa" or, QEMU only, "pci": where the serial line is.
    qemu: another QEMU than the installed one, or than the one that the environment's QEMU names.
    linux: QEMU: (kernel, initrd, command line) to start with a plain BIOS; then image may be None.
    iommu: QEMU: "intel" or "amd". devices: QEMU: lists of arguments, see tests/lib/devices.py.
    msrs: Bochs: {index: value} of additional MSRs. extra: more arguments, or lines of bochsrc.
    """

    def __init__(self, host, image, workdir, *, cores=2, memory=2048, cpu=None, accel="tcg",
                 limit=600, icount=None, gdb=False, vga=False, realtime=False, msrs=None, uart="isa",
                 qemu=None, linux=None, iommu=None, devices=(), extra=()):
        self.host, self.image, self.workdir = host, image, workdir
        self.cores, self.memory, self.cpu, self.accel = cores, memory, cpu, accel
        self.limit, self.icount, self.gdb, self.vga = limit, icount, gdb, vga
        self.realtime, self.msrs, self.extra = realtime, dict(msrs or {}), list(extra)
        self.uart, self.iommu, self.devices, self.linux = uart, iommu, list(devices), linux
        self.qemu = qemu or os.environ.get("QEMU") or "qemu-system-x86_64"
        self.process = None
        self.line = None

    def version(self):
        """QEMU's, as a tuple of numbers."""
        text = subprocess.run([self.qemu, "--version"], capture_output=True, text=True).stdout
        return tuple(int(n) for n in text.split("version ")[1].split()[0].split("."))

    def path(self, name):
        return os.path.join(self.workdir, name)

    @property
    def vendor(self):
        """Which of Lamina's back ends the machine will use, "svm" or "vmx"."""
        if self.host == "qemu":
            return "svm"
        return "svm" if self.cpu in BOCHS_SVM_CPUS else "vmx"

    def start(self):
        if self.host == "qemu":
            self.run(self.prepare_qemu(), subprocess.PIPE, subprocess.PIPE)
            self.line = PipeLine(self.process)
        elif self.host == "bochs":
            with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
                argv = self.prepare_bochs(listener.getsockname()[1])
                with open(self.path("bochs.out"), "wb") as out:
                    self.run(argv, subprocess.DEVNULL, out)
                self.line = self.accept(listener)
        else:
            raise EmulatorError(f"unknown host '{self.host}': expected qemu or bochs")
        return self.line

    def run(self, argv, stdin, stdout):
        with open(self.path(f"{self.host}.err"), "wb") as err:
            # A session of its own: neither the terminal's signals nor its job control reach it.
            self.process = subprocess.Popen(
                ["timeout", "-s", "KILL", str(self.limit), *argv], cwd=self.workdir, stdin=stdin,
                stdout=stdout, stderr=err, start_new_session=True, bufsize=0,
                env=dict(os.environ, TERM="xterm"))

    def accept(self, listener):
        listener.settimeout(0.2)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                sock, _ = listener.accept()
                sock.setblocking(True)
                return sock
            except TimeoutError:
                if self.process.poll() is not None:
                    break
        self.stop()
        raise EmulatorError(f"{self.host} did not start:\n{self.emulator_log()}")

    def qemu_boot(self):
        if self.linux:
            kernel, initrd, cmdline = self.linux
            return ["-kernel", kernel, "-initrd", initrd, "-append", cmdline]
        shutil.copyfile(OVMF_VARS, self.path("vars.fd"))
        return ["-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={OVMF_CODE}",
                "-drive", "if=pflash,unit=1,format=raw,file=vars.fd"]

    def qemu_disk(self):
        if self.image is None:
            return []
        return ["-drive", f"id=disk,if=none,format=raw,snapshot=on,file={os.path.abspath(self.image)}",
                "-device", "ide-hd,drive=disk" + ("" if "-kernel" in self.extra else ",bootindex=0")]

    def prepare_qemu(self):
        kvm = self.accel == "kvm"
        argv = [self.qemu, "-accel", "kvm" if kvm else "tcg,thread=multi", "-M", "q35",
                "-cpu", self.cpu or ("host" if kvm else QEMU_CPU), "-smp", str(self.cores),
                "-m", f"{self.memory}M", "-nodefaults", "-display", "none", "-no-reboot",
                *self.qemu_boot(),
                *(["-device", IOMMUS[self.iommu]] if self.iommu else []),
                *self.qemu_disk(),
                "-chardev", "stdio,id=serial,signal=off",
                *(["-device", "pci-serial,chardev=serial"] if self.uart == "pci"
                  else ["-serial", "chardev:serial"]),
                "-qmp", "unix:qmp.sock,server=on,wait=off"]
        if self.icount is not None:
            argv[2] = "tcg,thread=single"
            argv += ["-icount", f"shift={self.icount},sleep=off", "-seed", "1",
                     "-rtc", "base=2025-01-01,clock=vm"]
        if self.vga:
            argv += ["-vga", "std"]
        if self.gdb:
            argv += ["-s", "-S"]
        return argv + [word for device in self.devices for word in device] + self.extra

    def prepare_bochs(self, port):
        if self.iommu or self.devices:
            raise EmulatorError("bochs has no IOMMU, and no device to be given away")
        if self.cores > 1 and self.icount is not None:
            raise EmulatorError("bochs is deterministic as it is: icount is QEMU's")
        # Its OVMF keeps its variables in a file on the disk, hence a copy.
        subprocess.run(["cp", "--sparse=always", self.image, self.path("disk.img")], check=True)
        vgabios = next((f for f in VGABIOS if os.path.exists(f)), VGABIOS[0])
        clock = "sync=slowdown, time0=utc" if self.realtime else "sync=none, time0=1700000000"
        with open(self.path("bochsrc"), "w") as f:
            f.write(BOCHSRC.format(
                memory=self.memory, host_memory=min(max(self.memory, 256), 1024), ovmf=OVMF_BOCHS,
                vgabios=vgabios, cpu=self.cpu or BOCHS_CPU, cores=self.cores, ips=BOCHS_IPS,
                port=port, clock=clock, extra="\n".join(self.extra)))
        with open(self.path("msrs.def"), "w") as f:
            for index, value in sorted((BOCHS_MSRS | self.msrs).items()):
                f.write(MSR_LINE.format(index, value >> 32, value & 0xFFFFFFFF))
        with open(self.path("bochs.rc"), "w") as f:
            f.write("c\nq\n")
        return ["bochs-bin", "-q", "-f", "bochsrc", "-rc", "bochs.rc"]

    def running(self):
        return self.process is not None and self.process.poll() is None

    def emulator_log(self):
        text = ""
        for name in (f"{self.host}.err", "bochs.log"):
            try:
                with open(self.path(name), errors="replace") as f:
                    text += f.read()[-2000:]
            except FileNotFoundError:
                pass
        return text

    def stop(self):
        """End the machine; harmless if it has ended."""
        if self.process is not None and self.process.poll() is None:
            # Its own session, so this is the timeout command and the emulator, nobody else.
            os.killpg(self.process.pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
        if self.line is not None:
            self.line.close()
            self.line = None
        for name in ("qmp.sock", "disk.img.lock"):
            try:
                os.unlink(self.path(name))
            except FileNotFoundError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()
