// SPDX-License-Identifier: BSD-2-Clause
#include "core/smp.h"

#include <inttypes.h>
#include <string.h>

#include "core/hvm.h"
#include "core/hyp_mem.h"
#include "log.h"
#include "mm/page_alloc.h"
#include "panic.h"
#include "x86/asm.h"
#include "x86/cpuid.h"
#include "x86/entry.h"
#include "x86/exception.h"
#include "x86/features.h"
#include "x86/lapic.h"
#include "x86/mce.h"
#include "x86/segment.h"
#include "x86/tsc.h"

#define IST_STACK_PAGES 2
#define EARLY_IST_SIZE  8192

#define INIT_DELAY_OLD_US 10000 /* SDM vol. 3, 8.4.4.1: INIT, 10 ms, SIPI, 200 us, SIPI */
#define INIT_DELAY_US     10
#define SIPI_DELAY_US     200
#define START_TIMEOUT_US  1000000
#define POLL_US           10
#define POLL_SLOW_US      1000

#define PTE_P  1ull
#define PTE_RW 2ull

/* What belongs to one core, apart from its stacks. */
struct core_block {
	struct cpu cpu;
	struct cpu_arch arch;
};

_Static_assert(sizeof(struct core_block) <= PAGE_SIZE, "one page per core");

struct cpu *cpus[CONFIG_MAX_CPUS];
uint32_t cpu_count;

uint64_t ap_cr3;

static struct core_block boot_block;
/* One for all of the boot core's exceptions until the allocator works. */
static uint8_t early_ist[EARLY_IST_SIZE] aligned(16);

void smp_init_boot_core(const struct boot_info *bi)
{
	struct cpu *c = &boot_block.cpu;
	void *const tops[IST_COUNT] = { early_ist + EARLY_IST_SIZE, early_ist + EARLY_IST_SIZE,
					early_ist + EARLY_IST_SIZE };

	(void)bi;
	c->self = c;
	c->apic_id = lapic_id();
	c->stack_top = boot_stack_top;
	c->arch = &boot_block.arch;
	c->online = 1;
	cpus[0] = c;
	cpu_count = 1;
	idt_init();
	cpu_tables_fill(c, tops);
	cpu_tables_load(c);
	cpu_features_init();
	mce_init();
}

/* A stack with unmapped pages around it; its end, or NULL. */
static uint8_t *alloc_stack(unsigned int pages)
{
	uint8_t *memory = page_alloc(&hyp_budget, pages);
	uint8_t *va;

	if (!memory)
		return NULL;
	va = hyp_mem_map(virt_to_hpa(memory), pages * PAGE_SIZE, ACCESS_RW, MEM_WB);
	return va ? va + pages * PAGE_SIZE : NULL;
}

static enum status alloc_stacks(struct cpu *c)
{
	void *tops[IST_COUNT];
	uint32_t i;

	c->stack_top = alloc_stack(CPU_STACK_SIZE / PAGE_SIZE);
	if (!c->stack_top)
		return ERR_NOMEM;
	for (i = 0; i < IST_COUNT; i++) {
		tops[i] = alloc_stack(IST_STACK_PAGES);
		if (!tops[i])
			return ERR_NOMEM;
	}
	cpu_tables_fill(c, tops);
	return OK;
}

static enum status alloc_core(uint32_t apic_id)
{
	struct core_block *b = page_alloc(&hyp_budget, 1);
	enum status s;

	if (!b)
		return ERR_NOMEM;
	b->cpu.self = &b->cpu;
	b->cpu.index = cpu_count;
	b->cpu.apic_id = apic_id;
	b->cpu.arch = &b->arch;
	s = alloc_stacks(&b->cpu);
	if (s == OK)
		cpus[cpu_count++] = &b->cpu;
	return s;
}

enum status smp_alloc_cores(const struct boot_info *bi)
{
	enum status s;
	uint32_t i;

	s = hyp_unmap(&hyp_pgtable, (uint64_t)boot_stack_guard, PAGE_SIZE);
	if (s != OK)
		return s;
	s = alloc_stacks(cpus[0]);
	for (i = 1; s == OK && i < bi->cpu_count && i < CONFIG_MAX_CPUS; i++) {
		if (cpu_by_apic_id(bi->cpus[i].apic_id))
			log_warn("the firmware lists APIC ID %" PRIu32 " twice",
				 bi->cpus[i].apic_id);
		else
			s = alloc_core(bi->cpus[i].apic_id);
	}
	return s;
}

/*
 * Copy the start-up code and build its page table in the page behind: the upper half is that of
 * the final table, and the page is its own table on every level down to the last, where entry
 * "page number of the code" maps the code to itself, not writable. Below 1 MiB the three upper
 * indices are 0 and the last is the page number, 1-255, so that nothing collides, and one page
 * below 4 GiB is all that a core needs on the way from real mode to the final table, which may lie
 * anywhere.
 */
static void prepare_trampoline(uint8_t *va, uint32_t base)
{
	uint64_t *table = (uint64_t *)(va + PAGE_SIZE);
	uint32_t i;

	memcpy(va, ap_trampoline, ap_trampoline_layout.size);
	for (i = 0; i < ARRAY_SIZE(ap_trampoline_layout.field); i++)
		*(uint32_t *)(va + ap_trampoline_layout.field[i]) += base;

	memset(table, 0, PAGE_SIZE);
	for (i = 256; i < 512; i++)
		table[i] = hyp_pgtable.root[i];
	table[0] = (base + PAGE_SIZE) | PTE_RW | PTE_P;
	table[base >> PAGE_SHIFT] = base | PTE_P;
	ap_cr3 = hyp_pgtable_root(&hyp_pgtable).v;
}

/* The 10 ms after INIT are for the 82489DX and its time; from the Pentium 4 and K8 on 10 us do. */
static uint32_t init_delay_us(void)
{
	switch (cpu_vendor()) {
	case CPU_VENDOR_INTEL:
		return cpu_family() >= 6 ? INIT_DELAY_US : INIT_DELAY_OLD_US;
	case CPU_VENDOR_AMD:
	case CPU_VENDOR_HYGON:
		return cpu_family() >= 0xf ? INIT_DELAY_US : INIT_DELAY_OLD_US;
	case CPU_VENDOR_OTHER:
		break;
	}
	return INIT_DELAY_OLD_US;
}

/* Wait until no core is in `state` any more. False: time-out. */
static bool wait_while(uint32_t state, uint32_t timeout_us)
{
	uint32_t waited = 0, step;
	struct cpu *c;
	uint32_t i, left;

	for (;;) {
		left = 0;
		for_each_cpu (c, i) {
			if (c->start_state == state && !c->online)
				left++;
		}
		if (!left || waited >= timeout_us)
			return !left;
		/* Short steps while a core may come any moment, long ones once it is late. */
		step = waited < POLL_SLOW_US ? POLL_US : POLL_SLOW_US;
		delay_us(step);
		waited += step;
	}
}

static void send_init(struct cpu *c)
{
	__atomic_store_n(&c->start_state, CPU_START_REQUESTED, __ATOMIC_RELEASE);
	if (lapic_send_init(c->apic_id) != OK) {
		log_error("core %" PRIu32 ": INIT to APIC ID %" PRIu32 " failed", c->index,
			  c->apic_id);
		c->start_state = CPU_START_ABANDONED;
	}
}

static void send_sipi(uint32_t page)
{
	struct cpu *c;
	uint32_t i;

	for_each_cpu (c, i) {
		if (i > 0 && c->start_state == CPU_START_REQUESTED &&
		    lapic_send_sipi(c->apic_id, (uint8_t)page) != OK)
			log_error("core %" PRIu32 ": SIPI to APIC ID %" PRIu32 " failed", i,
				  c->apic_id);
	}
}

/* Give up on the cores that have not come, so that they halt if they come later. */
static uint32_t count_and_report(void)
{
	uint32_t running = 1;
	struct cpu *c;
	uint32_t i;

	for_each_cpu (c, i) {
		uint32_t expected = CPU_START_REQUESTED;

		if (i == 0)
			continue;
		if (c->online) {
			running++;
			continue;
		}
		__atomic_compare_exchange_n(&c->start_state, &expected, CPU_START_ABANDONED, false,
					    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
		log_error("core %" PRIu32 " (APIC ID %" PRIu32 ") does not start: %s", i,
			  c->apic_id,
			  expected == CPU_START_UNFIT     ? "it cannot virtualize"
			  : expected == CPU_START_CLAIMED ? "lost on the way"
							  : "no answer to SIPI");
	}
	return running;
}

uint32_t smp_start_cores(const struct boot_info *bi)
{
	uint64_t base = bi->trampoline.v;
	struct cpu *c;
	uint8_t *va;
	uint32_t i;

	if (cpu_count == 1)
		return 1;
	if (!base || base + 2 * PAGE_SIZE > 0x100000 || !IS_ALIGNED(base, PAGE_SIZE)) {
		log_error("no memory below 1 MiB: the other cores stay off");
		return 1;
	}
	va = hyp_mem_map(bi->trampoline, 2 * PAGE_SIZE, ACCESS_RW, MEM_WB);
	if (!va) {
		log_error("cannot map the start-up code: the other cores stay off");
		return 1;
	}
	prepare_trampoline(va, (uint32_t)base);

	for_each_cpu (c, i) {
		if (i > 0)
			send_init(c);
	}
	delay_us(init_delay_us());
	send_sipi((uint32_t)(base >> PAGE_SHIFT));
	if (!wait_while(CPU_START_REQUESTED, SIPI_DELAY_US))
		send_sipi((uint32_t)(base >> PAGE_SHIFT));
	wait_while(CPU_START_REQUESTED, START_TIMEOUT_US);
	wait_while(CPU_START_CLAIMED, START_TIMEOUT_US);
	hyp_mem_unmap(va, 2 * PAGE_SIZE);
	return count_and_report();
}

void ap_main(struct cpu *c)
{
	cpu_tables_load(c);
	cpu_features_init();
	mce_init();
	lapic_match_boot_mode();
	/* Firmware may have locked it off on this core alone, or cores may differ: do without it. */
	if (hvm->cpu_enable(c, &hyp_budget) != OK) {
		__atomic_store_n(&c->start_state, CPU_START_UNFIT, __ATOMIC_RELEASE);
		for (;;)
			__asm__ volatile("cli\n\thlt");
	}
	__atomic_store_n(&c->online, 1, __ATOMIC_RELEASE);
	cpu_main(c);
}

void smp_run_boot_core(void)
{
	cpu_run_on_stack(cpus[0], cpus[0]->stack_top, cpu_main);
}

void smp_kick(struct cpu *c)
{
	if (!__atomic_load_n(&c->online, __ATOMIC_ACQUIRE))
		return;
	if (c == this_cpu()) {
		c->nmi_pending = 1;
		return;
	}
	if (lapic_send_nmi(c->apic_id) != OK)
		log_error("cannot send an NMI to core %" PRIu32, c->index);
}
