#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Unpack the QEMU of Debian's backports next to the installed one, without installing it.
#
# usage: tools/newer-qemu.sh [DIRECTORY]      default: build/cache/qemu
#
# QEMU 7.2 of Debian 12 has no x2APIC under TCG; 10.0 of bookworm-backports does. apt downloads it
# with lists of its own and checks the signatures; nothing of the system changes, no root is needed.
# Prints the path of a script that starts that QEMU. Quick if it is there already.
set -euo pipefail

dir=$(realpath -m "${1:-build/cache/qemu}")
suite=bookworm-backports
packages="qemu-system-x86 qemu-system-common qemu-system-data"
starter=$dir/qemu-system-x86_64

if [ -x "$starter" ] && "$starter" --version >/dev/null 2>&1; then
	echo "$starter"
	exit 0
fi

# The archive that this machine uses already, whatever the format of its lists.
archive=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 2>/dev/null |
	awk '$2 ~ /^(bookworm|stable)$/ && $1 !~ /security/ { print $1; exit }')
[ -n "$archive" ] || { echo "newer-qemu.sh: no Debian archive is configured" >&2; exit 1; }

mkdir -p "$dir"/{lists/partial,archives/partial,debs,root}
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $suite main" \
	>"$dir/sources.list"
options=(-qq -o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null
	-o "Dir::State::lists=$dir/lists" -o "Dir::Cache=$dir" -o APT::Sandbox::User=
	-o APT::Update::Error-Mode=any)
apt-get "${options[@]}" update >"$dir/apt.log" 2>&1 || { cat "$dir/apt.log" >&2; exit 1; }
(cd "$dir/debs" && apt-get "${options[@]}" download ${packages// /\/$suite }/$suite) \
	>>"$dir/apt.log" 2>&1 || { cat "$dir/apt.log" >&2; exit 1; }
for deb in "$dir"/debs/*.deb; do
	dpkg-deb -x "$deb" "$dir/root"
done
cat >"$starter" <<END
#!/bin/sh
exec "$dir/root/usr/bin/qemu-system-x86_64" -L "$dir/root/usr/share/qemu" \\
	-L /usr/share/seabios -L /usr/share/qemu "\$@"
END
chmod +x "$starter"
"$starter" --version >/dev/null || { echo "newer-qemu.sh: it does not start here" >&2; exit 1; }
echo "$starter"
