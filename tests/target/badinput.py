# SPDX-License-Identifier: BSD-2-Clause
"""What users, firmware setups and machines get wrong: each has its message, nothing is changed."""
import os
import re

from lib.machine import Guest
from lib.target import target

NOT_STARTED = "Lamina was not started; nothing has been changed"
GOOD = "[guest good]\nkernel = hello\nmemory = 32M\ncores = 0\ncmdline = still here\n"


def hello(lab):
    return {"/EFI/lamina/hello": os.path.join(lab.build, "guests", "hello.bin")}


def refused(machine, *messages):
    """All messages appear in this order, then the firmware has the machine again."""
    for message in messages:
        machine.expect(re.escape(message), timeout=20)
    machine.expect(NOT_STARTED)
    machine.send("\r")
    # The firmware goes on with its next boot entry, or enters its setup: it is alive.
    machine.expect(r"BdsDxe: (failed to start|loading|No bootable|starting)|UEFI.*Shell|Boot Manager",
                   timeout=30)


@target(hosts=("qemu",), limit=90)
def wrong_values_are_named_and_the_others_start(lab):
    conf = """\
[lamina]
colour = blue
log = loud
console = all
[guest typo]
kernel = hello
memroy = 32M
memory = 32M
[guest range]
kernel = hello
memory = 5000T
[guest unit]
kernel = hello
memory = 32
[guest twice]
kernel = hello
memory = 32M
cores = 0
[guest absent]
kernel = hello
memory = 32M
cores = 63
[guest huge]
kernel = hello
memory = 900G
cores = 1
[gest x]
""" + GOOD.replace("cores = 0", "cores = 2")
    m = lab.boot(conf=conf, files=hello(lab), cores=3)
    m.expect("hello from a guest: 'still here'", timeout=60)
    text = m.console.text()
    for message in (
            "lamina.conf:2: unknown key 'colour'",
            "lamina.conf:3: log = 'loud': ",
            "lamina.conf:7: unknown key 'memroy' in section [guest typo]; did you mean 'memory'?",
            "lamina.conf:11: memory = '5000T': ",
            "lamina.conf:14: memory = '32': a size without a unit",
            "lamina.conf:22: ",   # core 63
            "lamina.conf:25: ",   # 900G
            "lamina.conf:27: unknown section '[gest x]'"):
        assert message in text, f"no {message!r}"


@target(hosts=("qemu",), limit=90)
def a_core_given_twice(lab):
    conf = GOOD + "[guest second]\nkernel = hello\nmemory = 32M\ncores = 0\n"
    m = lab.boot(conf=conf, files=hello(lab), cores=2)
    m.expect(r"lamina.conf:9: core 0 of guest 'second' is given to guest 'good' already \(line \d+\)")
    m.expect("hello from a guest: 'still here'")


@target(hosts=("qemu",), limit=90)
def strict_starts_all_or_nothing(lab):
    conf = "[lamina]\nstrict = yes\n" + GOOD + "[guest bad]\nkernel = hello\nmemory = 1\n"
    refused(lab.boot(conf=conf, files=hello(lab), cores=2), "lamina.conf:10: memory = '1'")


@target(hosts=("qemu",), limit=90)
def no_configuration_file(lab):
    refused(lab.boot(conf=None), "not found")


@target(hosts=("qemu",), limit=90)
def no_guests(lab):
    refused(lab.boot(conf="[lamina]\nlog = info\n"), "guest")


@target(hosts=("qemu",), limit=90)
def a_binary_instead_of_the_configuration(lab):
    m = lab.boot(conf=bytes(range(256)) * 200)
    refused(m, "lamina.conf")


@target(hosts=("qemu",), limit=60)
def cpu_without_virtualization(lab):
    refused(lab.boot([Guest("one", "hello")], cpu="EPYC,-svm"), "neither VMX nor SVM")


@target(hosts=("qemu",), limit=60)
def svm_without_nested_paging(lab):
    refused(lab.boot([Guest("one", "hello")], cpu="EPYC,+svm,-npt"), "SVM without nested paging")


@target(hosts=("bochs",), limit=90)
def vmx_without_ept(lab):
    refused(lab.boot([Guest("one", "hello")], cpu="core2_penryn_t9600"), "without EPT")


@target(hosts=("bochs",), limit=90)
def vmx_without_unrestricted_guest(lab):
    refused(lab.boot([Guest("one", "hello")], cpu="corei5_lynnfield_750"),
            "VMX without unrestricted guest")
