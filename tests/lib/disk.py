# SPDX-License-Identifier: BSD-2-Clause
"""Root file systems: ext4 with a static busybox, the demonstration guest's files and the test's."""
import hashlib
import os
import random
import shutil
import subprocess
import tempfile

from lib.machine import TOP

FOLDERS = ("bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "sbin", "lib/modules", "data")
# Loads the drivers of a network card, for a guest that has its root elsewhere.
LOAD = "for i in $(cat /lib/modules/order); do insmod /lib/modules/$i.ko; done"


def make_disk(lab, size_mib=64, data_mib=4):
    """An image with `data_mib` files of random data and their checksums; its path."""
    path = lab.scratch("disk.img", b"")
    with tempfile.TemporaryDirectory(prefix="lamina-disk.") as tree:
        fill(tree, lab.build, data_mib)
        subprocess.run(["truncate", "-s", f"{size_mib}M", path], check=True)
        done = subprocess.run(
            ["mke2fs", "-q", "-F", "-t", "ext4", "-E", "root_owner=0:0,lazy_itable_init=0", "-d",
             tree, path], capture_output=True, text=True,
            env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin"))
        if done.returncode:
            raise AssertionError(f"mke2fs: {done.stderr.strip()}")
    return path


def fill(tree, build, data_mib):
    for folder in FOLDERS:
        os.makedirs(os.path.join(tree, folder))
    shutil.copy("/bin/busybox", os.path.join(tree, "bin/busybox"))
    os.symlink("busybox", os.path.join(tree, "bin/sh"))
    os.symlink("../bin/busybox", os.path.join(tree, "sbin/init"))
    for source, where in ((f"{TOP}/tools/initramfs", ""), (f"{TOP}/tests/disk", ""),
                          (f"{build}/demo/modules", "lib/modules")):
        shutil.copytree(source, os.path.join(tree, where), dirs_exist_ok=True)
    bits, sums = random.Random(1), ""
    for n in range(data_mib):
        content = bits.randbytes(1 << 20)
        with open(os.path.join(tree, f"data/file{n}"), "wb") as f:
            f.write(content)
        sums += f"{hashlib.sha256(content).hexdigest()}  data/file{n}\n"
    with open(os.path.join(tree, "data/sums"), "w") as f:
        f.write(sums)


def check_disk(path):
    """After the machine has ended: is the file system sound? Replays the journal first."""
    env = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
    subprocess.run(["e2fsck", "-p", path], capture_output=True, env=env)
    done = subprocess.run(["e2fsck", "-f", "-n", path], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stdout[-2000:]
