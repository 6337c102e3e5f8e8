# SPDX-License-Identifier: BSD-2-Clause
# gdb -x tools/lamina.gdb build/lamina.elf, with `make debug` running in another terminal.
# The hypervisor is linked where it runs: its symbols need no offset. Software breakpoints would be
# overwritten when the loader copies the image, so the first stop is a hardware breakpoint.
set pagination off
set confirm off
set architecture i386:x86-64
target remote localhost:1234
thbreak lamina_entry

define cpus
	info threads
end
document cpus
List the cores, each of which gdb calls a thread.
end

echo Type 'continue' to run to the hypervisor's first instruction.\n
