# SPDX-License-Identifier: BSD-2-Clause
"""Lines of code by folder: neither blank nor all comment."""
import os
import re

FOLDERS = ("boot", "core", "drivers", "include", "mm", "svm", "vmx", "x86")
LANGUAGES = (".c", ".h", ".S", ".asl", ".ld")
# Strings and characters first, so that a comment sign in one of them is none.
TOKENS = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', re.S)


def count(text):
    """Lines that have anything besides comments."""
    def strip(match):
        word = match.group(0)
        return "\n" * word.count("\n") if word.startswith("/") else word
    return sum(1 for line in TOKENS.sub(strip, text).splitlines() if line.strip())


def by_folder(top):
    out = {}
    for folder in FOLDERS:
        n = 0
        for where, _, names in os.walk(os.path.join(top, folder)):
            for name in names:
                if name.endswith(LANGUAGES):
                    with open(os.path.join(where, name), errors="replace") as f:
                        n += count(f.read())
        out[folder] = n
    return out
