/* SPDX-License-Identifier: BSD-2-Clause */
/* Monitor commands about guests. */
#include <stdlib.h>
#include <string.h>

#include "core/console.h"
#include "core/guest.h"
#include "core/hvm.h"
#include "core/init.h"
#include "core/monitor.h"
#include "core/monitor_cmds.h"
#include "core/spare.h"
#include "x86/asm.h"
#include "x86/tsc.h"

typedef unsigned long long ull;

struct guest *monitor_guest_arg(int argc, char **argv, int index)
{
	uint32_t focused = console_focused();
	struct guest *g = NULL;

	if (argc > index) {
		g = guest_find(argv[index]);
		if (!g)
			monitor_error("no guest '%s'; `guests` lists them\n", argv[index]);
	} else {
		g = focused < guest_count ? guests[focused] : NULL;
		if (!g)
			monitor_error("which guest? `guests` lists them\n");
	}
	return g;
}

static uint64_t total_exits(const struct guest *g)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < g->vcpu_count; i++) {
		for (unsigned c = 0; c < EXIT_CLASS_COUNT; c++)
			sum += g->vcpus[i]->stats[c].exits;
	}
	return sum;
}

void cmd_guests(int argc, char **argv)
{
	struct guest *g;
	uint32_t i;

	(void)argc;
	(void)argv;
	monitor_print("   # name             state      core  memory    starts  exits\n");
	for_each_guest (g, i) {
		monitor_print("  %2u %-16s %-10s %4u  %5llu MiB %6u  %llu\n", i + 1,
			      g->config->name, guest_state_name(g->state), g->vcpus[0]->cpu->index,
			      (ull)(g->boot->memory_size >> 20), g->starts, (ull)total_exits(g));
		if (g->state == GUEST_STOPPED)
			monitor_print("     %s\n", g->end_text);
	}
	for (i = 0; i < guest_count; i++) {
		if (!guests[i])
			monitor_print("  %2u %-16s left out; `log` says why\n", i + 1,
				      boot_info->config.guests[i].name);
	}
}

void cmd_console(int argc, char **argv)
{
	struct guest *g = monitor_guest_arg(argc, argv, 1);

	if (g && console_focus(g->index) != OK)
		monitor_error("guest %s has no console (console=no)\n", g->config->name);
}

static void control(int argc, char **argv, enum status (*action)(struct guest *), const char *done)
{
	struct guest *g = monitor_guest_arg(argc, argv, 1);

	if (!g)
		return;
	if (action(g) == OK)
		monitor_print("guest %s: %s\n", g->config->name, done);
	else
		monitor_error("guest %s is %s: cannot %s it\n", g->config->name,
			      guest_state_name(g->state), argv[0]);
}

void cmd_pause(int argc, char **argv)
{
	control(argc, argv, guest_pause, "paused");
}

void cmd_resume(int argc, char **argv)
{
	control(argc, argv, guest_resume, "goes on");
}

void cmd_reset(int argc, char **argv)
{
	control(argc, argv, guest_reset, "resetting");
}

void cmd_stop(int argc, char **argv)
{
	control(argc, argv, guest_stop, "stopping");
}

void cmd_start(int argc, char **argv)
{
	control(argc, argv, guest_start, "starting");
}

static void print_sregs(const struct vcpu_sregs *s)
{
	static const char *const names[SEG_COUNT] = { "es", "cs", "ss",  "ds",
						      "fs", "gs", "ldt", "tr" };

	monitor_print("  cr0 %016llx  cr2 %016llx  cr3 %016llx  cr4 %016llx\n", (ull)s->cr0,
		      (ull)s->cr2, (ull)s->cr3, (ull)s->cr4);
	monitor_print("  efer %015llx  dr7 %016llx  cpl %u%s%s%s\n", (ull)s->efer, (ull)s->dr7,
		      s->cpl, s->interrupt_shadow ? ", interrupt shadow" : "",
		      s->nmi_blocked ? ", NMIs blocked" : "", s->halted ? ", halted" : "");
	for (unsigned i = 0; i < SEG_COUNT; i++)
		monitor_print("  %-3s %04x base %016llx limit %08x access %04x\n", names[i],
			      s->seg[i].selector, (ull)s->seg[i].base, s->seg[i].limit,
			      s->seg[i].access);
	monitor_print("  gdt base %016llx limit %04x   idt base %016llx limit %04x\n",
		      (ull)s->gdtr_base, s->gdtr_limit, (ull)s->idtr_base, s->idtr_limit);
}

static void print_records(struct vcpu *v)
{
	uint64_t now = rdtsc();

	monitor_print("  last exits, newest first:\n");
	for (uint32_t n = 1; n <= VCPU_EXIT_RECORDS; n++) {
		const struct exit_record *r = vcpu_record(v, n);

		if (!r->tsc)
			break;
		monitor_print("  -%9llu us  %-10s %-24s info %llx rip %llx\n",
			      (ull)tsc_to_us(now - r->tsc), exit_class_name(r->class),
			      hvm->exit_name(r->raw), (ull)r->info, (ull)r->rip);
	}
}

static void print_regs(struct vcpu *v)
{
	static const char *const names[GPR_COUNT] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp",
						      "rsi", "rdi", "r8",  "r9",  "r10", "r11",
						      "r12", "r13", "r14", "r15" };
	struct vcpu_snapshot s;
	enum status status = vcpu_get_snapshot(v, &s);

	monitor_print("vcpu %u on core %u: %s\n", v->index, v->cpu->index,
		      vcpu_state_name((enum vcpu_state)v->state));
	if (status != OK) {
		monitor_print(status == ERR_TIMEOUT ? "  its core does not answer\n"
						    : "  it has not run yet\n");
		return;
	}
	for (unsigned i = 0; i < GPR_COUNT; i++)
		monitor_print("  %-3s %016llx%s", names[i], (ull)s.gpr[i], i % 4 == 3 ? "\n" : "");
	monitor_print("  rip %016llx  rflags %08llx\n", (ull)s.rip, (ull)s.rflags);
	print_sregs(&s.sregs);
	print_records(v);
}

void cmd_regs(int argc, char **argv)
{
	struct guest *g = monitor_guest_arg(argc, argv, 1);
	unsigned long index = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;

	if (!g)
		return;
	if (index >= g->vcpu_count) {
		monitor_error("guest %s has %u vCPUs, counted from 0\n", g->config->name,
			      g->vcpu_count);
		return;
	}
	if (g->state == GUEST_STOPPED)
		monitor_print("guest %s has ended: %s\n", g->config->name, g->end_text);
	print_regs(g->vcpus[index]);
}

static void print_stat(const struct vcpu *v)
{
	monitor_print("vcpu %u on core %u:\n", v->index, v->cpu->index);
	for (unsigned c = 0; c < EXIT_CLASS_COUNT; c++) {
		const struct exit_stats *s = &v->stats[c];

		if (s->exits)
			monitor_print("  %-10s %12llu exits %14llu cycles %8llu each\n",
				      exit_class_name(c), (ull)s->exits, (ull)s->cycles,
				      (ull)(s->cycles / s->exits));
	}
}

void cmd_stat(int argc, char **argv)
{
	struct guest *g = monitor_guest_arg(argc, argv, 1);
	struct tdp_stats mmu;
	struct vcpu *v;
	uint32_t i;

	if (!g)
		return;
	monitor_print("guest %s: %s, %u starts, up %llu s\n", g->config->name,
		      guest_state_name(g->state), g->starts,
		      (ull)(tsc_to_us(rdtsc() - g->start_tsc) / 1000000));
	for_each_vcpu (g, v, i)
		print_stat(v);
	mmu = tdp_stats(&g->tdp);
	monitor_print(
		"  mmu: %llu tables, faults %llu fixed %llu spurious %llu mmio, %llu flushes\n",
		(ull)mmu.tables, (ull)mmu.fixed, (ull)mmu.spurious, (ull)mmu.mmio,
		(ull)mmu.flushes);
	monitor_print("  refused: %llu MSR accesses, %llu IPIs to others\n", (ull)g->denied_msr,
		      (ull)g->denied_ipi);
}

static void print_budget(const struct guest *g)
{
	const struct page_budget *b = &g->budget;

	monitor_print("  guest %s: budget %llu of %llu KiB used, most ever %llu\n", g->config->name,
		      (ull)(b->used * 4), (ull)(b->limit * 4), (ull)(b->peak * 4));
}

static void print_spare(void)
{
	struct spare_usage u = spare_usage();
	char total[MONITOR_SIZE_LEN], free[MONITOR_SIZE_LEN], largest[MONITOR_SIZE_LEN];

	if (u.total)
		monitor_print("spare: %s at hpa %llx, %s free, the largest piece %s\n",
			      monitor_size(u.total, total), (ull)u.base.v,
			      monitor_size(u.free, free), monitor_size(u.largest, largest));
	else
		monitor_print("spare: none; `spare` in section [lamina] reserves some\n");
}

void cmd_mem(int argc, char **argv)
{
	static const char *const types[] = { "usable",      "reserved",     "firmware runtime",
					     "ACPI",        "MMIO",         "Lamina",
					     "guest image", "guest memory", "bad",
					     "spare" };
	struct guest *g;
	uint32_t i;

	(void)argc;
	(void)argv;
	for (i = 0; i < boot_info->region_count; i++) {
		const struct boot_region *r = &boot_info->regions[i];
		const char *whose = r->guest >= 0 ? boot_info->config.guests[r->guest].name : "";

		monitor_print("  hpa %012llx-%012llx %8llu KiB  %s %s\n", (ull)r->base.v,
			      (ull)(r->base.v + r->size - 1), (ull)(r->size >> 10),
			      r->type < ARRAY_SIZE(types) ? types[r->type] : "?", whose);
	}
	monitor_print("pool: %llu KiB, %llu free, %llu not promised to anybody\n",
		      (ull)(page_pool.pages * 4), (ull)(page_pool.free * 4),
		      (ull)(page_pool_unreserved() * 4));
	print_spare();
	for_each_guest (g, i)
		print_budget(g);
}

static void print_region(const struct io_region *r, const char *space)
{
	if (!r->size)
		return;
	monitor_print("  %s %#6llx-%#llx  %s\n", space, (ull)r->base, (ull)(r->base + r->size - 1),
		      r->name);
}

void cmd_io(int argc, char **argv)
{
	struct guest *g = monitor_guest_arg(argc, argv, 1);
	const struct io_map *m;

	if (!g)
		return;
	m = &g->io;
	for (uint32_t i = 0; i < m->port_count; i++)
		print_region(&m->ports[i], "port");
	for (uint32_t i = 0; i < m->mmio_count; i++)
		print_region(&m->mmio[i], "mmio");
	for (uint32_t i = 0; i < m->dynamic_port_count; i++)
		print_region(&m->dynamic_ports[i], "port");
	for (uint32_t i = 0; i < m->dynamic_count; i++)
		print_region(&m->dynamic[i], "mmio");
	for (uint32_t i = 0; i < IO_UNOWNED && m->unowned[i].count; i++)
		monitor_print("  unowned %s %#llx: %llu accesses\n",
			      m->unowned[i].mmio ? "mmio" : "port", (ull)m->unowned[i].address,
			      (ull)m->unowned[i].count);
	if (m->unowned_other)
		monitor_print("  unowned, further addresses: %llu accesses\n",
			      (ull)m->unowned_other);
}
