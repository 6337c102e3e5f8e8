# SPDX-License-Identifier: BSD-2-Clause
"""The same payload under KVM of a stock Linux kernel, and such a kernel as KVM's guest."""
from lib.kvmhost import Vm, boot_kvm, results
from measure import measurement


def options(lab):
    """One instruction a tick. Without UEFI firmware, which the kernel here does not need, QEMU is
    quick enough for that."""
    return {"icount": 0} if lab.host == "qemu" else {}


@measurement()
def round_trips(lab):
    return {"kvm": results(boot_kvm(lab, [Vm("payload")], **options(lab)).vm())}
