#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Install what is missing of the Debian packages that Lamina's build and tests need.
#
# usage: tools/deps.sh GROUP...     groups: build run bochs debug test lint model prove kernel
#
# `kernel` is no package to install: it downloads Debian's current cloud kernel (apt checks its
# signature) to $CACHE (build/cache) without installing it. Quick and silent if nothing is missing.
set -euo pipefail

CACHE=${CACHE:-build/cache}
build="gcc binutils libc6-dev gnu-efi newlib-source xz-utils lz4 acpica-tools mtools gdisk python3"
run="qemu-system-x86 ovmf busybox-static"
bochs="bochs bochs-term bochsbios vgabios ovmf busybox-static"
debug="gdb"
test="clang-14 llvm-14 libclang-rt-14-dev libcmocka-dev libzydis-dev gcc-12 valgrind e2fsprogs"
lint="clang-format-14 clang-tidy-14 cppcheck"
model="spin gcc libc6-dev python3"
prove="frama-c-base gcc libc6-dev python3"

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		echo "deps.sh: need root or sudo for: $*" >&2
		exit 1
	fi
}

# At most one update of the package lists per call.
updated=no
update_lists() {
	[ $updated = no ] || return 0
	echo "  APT     update"
	as_root apt-get -qq -o APT::Update::Error-Mode=any update
	updated=yes
}

install_missing() {
	local missing=() pkg

	for pkg in $(printf '%s\n' "$@" | sort -u); do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$pkg" 2>/dev/null)" = installed ] ||
			missing+=("$pkg")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	update_lists
	echo "  APT     ${missing[*]}"
	mkdir -p "$CACHE"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
		-o Dpkg::Use-Pty=0 install "${missing[@]}" >"$CACHE/apt.log" 2>&1 || {
		tail -n 20 "$CACHE/apt.log" >&2
		exit 1
	}
}

# The package that the meta package depends on: linux-image-VERSION-cloud-amd64.
kernel_package() {
	apt-cache depends linux-image-cloud-amd64 2>/dev/null |
		sed -n 's/^ *Depends: \(linux-image-[0-9].*-cloud-amd64\)$/\1/p' | head -n 1
}

fetch_kernel() {
	local pkg

	if compgen -G "$CACHE/linux-image-*.deb" >/dev/null; then
		return 0
	fi
	mkdir -p "$CACHE"
	pkg=$(kernel_package)
	if [ -z "$pkg" ]; then
		update_lists
		pkg=$(kernel_package)
	fi
	[ -n "$pkg" ] || {
		echo "deps.sh: apt knows no linux-image-cloud-amd64; give a kernel with KERNEL=" >&2
		exit 1
	}
	echo "  FETCH   $pkg"
	# A stale list names a version that the archive no longer has.
	(cd "$CACHE" && apt-get -qq download "$pkg" 2>apt-download.log) || {
		update_lists
		pkg=$(kernel_package)
		(cd "$CACHE" && apt-get -qq download "$pkg")
	}
}

packages=()
kernel=no
for group in "$@"; do
	case $group in
	build | run | bochs | debug | test | lint | model | prove) packages+=(${!group}) ;;
	kernel) kernel=yes ;;
	*)
		echo "deps.sh: unknown group '$group'" >&2
		exit 2
		;;
	esac
done
install_missing "${packages[@]}"
[ $kernel = no ] || fetch_kernel
