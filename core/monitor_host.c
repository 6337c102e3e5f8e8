/* SPDX-License-Identifier: BSD-2-Clause */
/* Monitor commands about the machine, and the table of all commands. */
#include <string.h>

#include "core/console.h"
#include "core/guest.h"
#include "core/host_console.h"
#include "core/host_power.h"
#include "core/hvm.h"
#include "core/init.h"
#include "core/log_ring.h"
#include "core/monitor.h"
#include "core/monitor_cmds.h"
#include "x86/asm.h"
#include "x86/tsc.h"

static void cmd_help(int argc, char **argv)
{
	char key[8];

	(void)argc;
	(void)argv;
	for (unsigned i = 0; i < monitor_command_count; i++) {
		const struct monitor_command *c = &monitor_commands[i];

		monitor_print("  %-9s %-32s %s\n", c->name, c->args, c->help);
	}
	console_key_name(boot_info->config.escape, key);
	monitor_print(
		"Several commands: separated by `;`. Addresses are hexadecimal; sizes: 4K, 2M, 1G.\n"
		"GUEST is a name or a number; without it, the guest whose console was open.\n"
		"%s opens this monitor; %s 1 goes to the first guest, %s %s types %s.\n",
		key, key, key, key, key);
}

static void cmd_log(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	if (boot_info->log_size)
		console_monitor_write(boot_info->log, boot_info->log_size);
	log_replay(console_monitor_write);
}

static void cmd_version(int argc, char **argv)
{
	uint64_t files = boot_info->tsc_files;

	(void)argc;
	(void)argv;
	monitor_print("Lamina " LAMINA_VERSION ", %s, image %llu KiB\n", hvm->name,
		      (unsigned long long)(boot_info->image_size >> 10));
	monitor_print("up %llu s\n",
		      (unsigned long long)(tsc_to_us(rdtsc() - boot_info->tsc_entry) / 1000000));
	if (first_entry_tsc)
		monitor_print(
			"first guest entered %llu ticks after efi_main, file reads excluded, at TSC %llu\n",
			(unsigned long long)(first_entry_tsc - boot_info->tsc_entry - files),
			(unsigned long long)first_entry_tsc);
}

static void cmd_cpus(int argc, char **argv)
{
	struct cpu *c;
	uint32_t i;

	(void)argc;
	(void)argv;
	for_each_cpu (c, i)
		monitor_print("  core %u  apic id %#x  %s  %s%s\n", c->index, c->apic_id,
			      c->online ? "online" : "absent",
			      c->vcpu ? c->vcpu->guest->config->name : "no guest",
			      c->vcpu && c->in_guest ? ", in the guest" : "");
}

static void cmd_reboot(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	host_reboot();
}

static void cmd_poweroff(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	if (host_power_off() != OK)
		monitor_error("this firmware does not say how to power off\n");
}

/* Run by core/monitor.c, which has the rest of the line; here for `help` and completion. */
static void cmd_repeat(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	monitor_error("`repeat` begins a line: repeat N COMMAND [; COMMAND ...]\n");
}

const struct monitor_command monitor_commands[] = {
	{ "help", "", "this list", cmd_help },
	{ "guests", "", "state, cores, memory and exits of all guests", cmd_guests },
	{ "console", "GUEST", "leave the monitor, show that guest's console", cmd_console },
	{ "pause", "[GUEST]", "hold a guest at its next instruction", cmd_pause },
	{ "resume", "[GUEST]", "let a paused guest go on", cmd_resume },
	{ "reset", "[GUEST]", "start a guest again from its kernel", cmd_reset },
	{ "stop", "[GUEST]", "end a guest", cmd_stop },
	{ "start", "[GUEST]", "start a stopped guest", cmd_start },
	{ "regs", "[GUEST [VCPU]]", "registers and the last exits", cmd_regs },
	{ "stat", "[GUEST]", "exits by reason, with counts and cycles", cmd_stat },
	{ "mem", "", "the machine's memory, what is spare, budgets", cmd_mem },
	{ "footprint", "", "the memory that Lamina itself takes, by what for", cmd_footprint },
	{ "slots", "[GUEST]", "a guest's memory: addresses, rights, backing", cmd_slots },
	{ "mmustat", "[GUEST]", "second-level tables, faults, changes, budget", cmd_mmustat },
	{ "itlb", "[GUEST [on|off|recover|every S]]", "large pages that are not executable",
	  cmd_itlb },
	{ "pt", "GPA [GUEST]", "walk the second-level table", cmd_pt },
	{ "split", "GUEST GPA", "use 4K pages where a large page is", cmd_split },
	{ "dirty", "GUEST [on|off [GPA]]", "pages written to since the last call", cmd_dirty },
	{ "merge", "[GUEST]", "use large pages wherever possible", cmd_merge },
	{ "zap", "GUEST slot|all|GPA", "what changes take away; a slot's pages, once", cmd_zap },
	{ "add", "GUEST GPA SIZE [RIGHTS [NAME]]", "give a guest memory", cmd_edit },
	{ "remove", "GUEST GPA", "take memory away that was added", cmd_edit },
	{ "move", "GUEST FROM TO", "move added memory", cmd_edit },
	{ "resize", "GUEST GPA SIZE", "make added memory larger or smaller", cmd_edit },
	{ "replace", "GUEST GPA [REGION]", "put zeroed memory, or a region, in its place",
	  cmd_edit },
	{ "protect", "GUEST GPA RIGHTS", "change rights: ro, rw, rx, rwx", cmd_edit },
	{ "txn", "GUEST EDIT, EDIT ...", "several of these at one point, or none", cmd_txn },
	{ "share", "[NAME SIZE]", "make memory that several guests can see; list it", cmd_share },
	{ "unshare", "NAME", "give it back", cmd_unshare },
	{ "map", "GUEST REGION GPA [RIGHTS]", "show it to a guest", cmd_edit },
	{ "unmap", "GUEST GPA", "and no longer", cmd_edit },
	{ "io", "[GUEST]", "devices, and accesses nobody owns", cmd_io },
	{ "devs", "[ADDRESS]", "PCI devices, their groups and owners; one in detail", cmd_devs },
	{ "iommu", "", "IOMMUs, and what devices tried that was blocked", cmd_iommu },
	{ "repeat", "N CMD [; CMD ...]", "run commands N times; a key ends it", cmd_repeat },
	{ "cpus", "", "the machine's cores", cmd_cpus },
	{ "log", "", "what Lamina has said since the loader", cmd_log },
	{ "version", "", "version, uptime, boot cost", cmd_version },
	{ "reboot", "", "restart the machine, at once", cmd_reboot },
	{ "poweroff", "", "switch the machine off, at once", cmd_poweroff },
};

const unsigned monitor_command_count = ARRAY_SIZE(monitor_commands);
