# SPDX-License-Identifier: BSD-2-Clause
"""The loader on machines and with files that only just do, or do not."""
import os
import re

from lib.machine import Guest
from lib.target import target

KERNEL = "\\EFI\\lamina\\hello.bin"


def section(name, kernel=KERNEL, memory="16M", **keys):
    lines = [f"[guest {name}]", f"kernel = {kernel}", f"memory = {memory}"]
    return "\n".join(lines + [f"{k} = {v}" for k, v in keys.items()]) + "\n"


def expect_text(m, *texts, timeout=40):
    for text in texts:
        m.expect(re.escape(text), timeout)


def expect_return(m):
    """The loader ends, and the firmware is as alive as before."""
    expect_text(m, "Lamina was not started; nothing has been changed.", "Press a key")
    m.send(" ")
    m.expect("BdsDxe: (failed to start|loading|starting)")


def hello(lab):
    path = os.path.join(lab.build, "guests", "hello.bin")
    with open(path, "rb") as f:
        return path, f.read()


@target(hosts=("qemu",), limit=120)
def each_wrong_image_has_its_message(lab):
    _, data = hello(lab)
    files = {"hello.bin": data, "empty": b"", "short": data[:len(data) // 2], "text": b"hello\n" * 200,
             "elf": b"\x7fELF" + bytes(4096), "zip": b"\x1f\x8b\x08" + bytes(2048)}
    names = ("missing", "empty", "short", "text", "elf", "zip")
    conf = section("good", cores=0) + "".join(
        section(name, kernel=name, cores=1 + i) for i, name in enumerate(names))
    conf += section("initrd", initrd="empty", cores=7)
    m = lab.boot([], conf=conf, cores=8, files={
        f"/EFI/lamina/{name}": lab.scratch(name, content) for name, content in files.items()})

    def kernel(line, name, why):
        return f"lamina.conf:{line}: kernel \\EFI\\lamina\\{name} of guest '{name}': {why}"
    expect_text(
        m, kernel(6, "missing", "not found on the volume that Lamina was loaded from"),
        kernel(10, "empty", "empty; expected a Linux bzImage (vmlinuz)"),
        kernel(14, "short", "truncated: the kernel's header announces more than the file has"),
        kernel(18, "text", "no kernel (there is no Linux boot header); expected a Linux bzImage"),
        kernel(22, "elf", "an ELF file, such as vmlinux; expected a Linux bzImage"),
        kernel(26, "zip", "a gzip file, such as an initrd; expected a Linux bzImage"),
        "lamina.conf:32: initrd \\EFI\\lamina\\empty of guest 'initrd': empty; expected an initramfs")
    m.expect("done: 2 ok, 0 failed")


@target(hosts=("qemu",), limit=60)
def folder_as_kernel(lab):
    m = lab.boot([], conf=section("a", kernel="\\EFI\\lamina"))
    expect_text(m, "lamina.conf:2: kernel \\EFI\\lamina of guest 'a': ", "no guest is left to start")
    expect_return(m)


@target(hosts=("qemu",), limit=60)
def memory_in_pieces_and_memory_below_the_kernels_need(lab):
    conf = section("a", memory="2600M") + section("b", memory="4M", initrd="big")
    m = lab.boot([], conf=conf, memory=4096, cores=2, files={
        "/EFI/lamina/hello.bin": hello(lab)[0],
        "/EFI/lamina/big": lab.scratch("big", b"070701" + bytes(6 << 20))})
    expect_text(m, "lamina.conf:6: guest 'b' has 4M of memory; this kernel and initrd need",
                "lamina.conf:3: no place for the 2600M of guest 'a' in one piece",
                "lamina.conf: no guest is left to start")
    expect_return(m)


@target(hosts=("qemu",), limit=60)
def huge_configuration(lab):
    m = lab.boot([], conf=b"#" * 65537)
    expect_text(m, "lamina.conf: 65537 bytes; a configuration has at most 65536")
    expect_return(m)


@target(hosts=("bochs",), limit=90)
def neither_vmx_nor_svm(lab):
    m = lab.boot([Guest("one", "hello")], cpu="athlon64_venice")
    expect_text(m, "this CPU has neither VMX nor SVM; if it should have")
    expect_return(m)


@target(hosts=("bochs",), limit=90)
def vmx_locked_off(lab):
    m = lab.boot([Guest("one", "hello")], loader=os.path.join(lab.build, "efi", "vmx_locked_off.efi"),
                 files={"/EFI/lamina/loader.efi": os.path.join(lab.build, "BOOTX64.EFI")})
    expect_text(m, "VMX is locked off by the firmware (IA32_FEATURE_CONTROL); turn on")
    expect_return(m)


@target(hosts=("qemu",), limit=60)
def hypervisor_inside_is_damaged(lab):
    with open(os.path.join(lab.build, "BOOTX64.EFI"), "rb") as f:
        image = bytearray(f.read())
    image[image.index(b"\x04\x22\x4d\x18") + 100000] ^= 0x10
    m = lab.boot([Guest("one", "hello")], loader=lab.scratch("damaged.efi", bytes(image)))
    expect_text(m, "the hypervisor inside this loader is damaged; install it again")
    expect_return(m)
