#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Build the committed and uncommitted sources twice, at different places and times and with a
# different number of jobs, and compare every result bit for bit.
set -euo pipefail

compiler=${1:-gcc}
work=$(mktemp -d "${TMPDIR:-/tmp}/lamina-repro.XXXXXX")
trap 'rm -rf "$work"' EXIT
results=(BOOTX64.EFI lamina.elf lamina.stripped.elf libc.a)

build() { # folder jobs build-folder
	mkdir -p "$1"
	tar -c --exclude=./build --exclude=./.git . | tar -x -C "$1"
	make -s -C "$1" -j "$2" CC="$compiler" BUILD="$3" >/dev/null
}

build "$work/one" 1 build
sleep 1
build "$work/another-folder" 2 out
status=0
for file in "${results[@]}"; do
	if cmp "$work/one/build/$file" "$work/another-folder/out/$file"; then
		sha256sum "$work/one/build/$file" | sed "s,$work/one/,,"
	else
		status=1
	fi
done
[ $status = 0 ] && echo "reproducible with $compiler"
exit $status
