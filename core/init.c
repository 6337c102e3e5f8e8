/* SPDX-License-Identifier: BSD-2-Clause */
/* The whole boot order of the hypervisor, from the loader's jump to the first guest. */
#include "core/init.h"

#include <stdio.h>
#include <string.h>

#include "core/console.h"
#include "core/footprint.h"
#include "core/guest.h"
#include "core/guest_slots.h"
#include "core/host_console.h"
#include "core/host_nmi.h"
#include "core/hvm.h"
#include "core/hyp_mem.h"
#include "core/log_ring.h"
#include "core/passthrough.h"
#include "core/smp.h"
#include "core/window.h"
#include "drivers/acpi.h"
#include "log.h"
#include "panic.h"
#include "x86/asm.h"
#include "x86/cpuid.h"
#include "x86/features.h"
#include "x86/lapic.h"
#include "x86/msr.h"
#include "x86/nmi.h"
#include "x86/tsc.h"

const struct boot_info *boot_info;
const struct hvm_ops *hvm;
uint64_t first_entry_tsc;

static struct acpi_platform platform;
static struct spte_format format;

const struct acpi_platform *acpi_platform(void)
{
	return &platform;
}

static const void *acpi_map(void *ctx, hpa_t hpa, uint64_t size)
{
	(void)ctx;
	return hyp_mem_map(hpa, size, ACCESS_R, MEM_WB);
}

static void acpi_unmap(void *ctx, const void *va, uint64_t size)
{
	(void)ctx;
	hyp_mem_unmap(va, size);
}

static void acpi_warn(void *ctx, const char *what, hpa_t hpa)
{
	(void)ctx;
	log_warn("ACPI at %#llx: %s", (unsigned long long)hpa.v, what);
}

static void discover(void)
{
	const struct acpi_mem mem = { .map = acpi_map, .unmap = acpi_unmap, .warn = acpi_warn };

	acpi_discover(&mem, boot_info->rsdp, &platform);
}

/* Other cores run: what is mapped now stays mapped. */
static void start_passthrough(void)
{
	const struct acpi_mem mem = { .map = acpi_map, .warn = acpi_warn };

	passthrough_init(boot_info, &platform, &mem);
}

static void init_clocks(void)
{
	struct tsc_reference ref = { 0 };
	const struct acpi_gas *pm = &platform.fadt.pm_timer;

	lapic_init(hyp_mem_map(HPA(rdmsr(MSR_APIC_BASE) & BITS(51, 12)), PAGE_SIZE, ACCESS_RW,
			       MEM_UC));
	if (platform.has_fadt && pm->address && pm->space == ACPI_SPACE_IO) {
		ref.pm_timer_port = (uint16_t)pm->address;
		ref.pm_timer_32bit = platform.fadt.pm_timer_32bit;
		ref.early_tsc = boot_info->tsc_pm;
		ref.early_pm = boot_info->pm_timer;
	}
	ref.hpet = hyp_mem_map(platform.hpet, PAGE_SIZE, ACCESS_RW, MEM_UC);
	tsc_calibrate_begin(&ref);
}

static void brand(char *buf)
{
	const char *start = buf;

	for (uint32_t leaf = 0; leaf < 3; leaf++) {
		struct cpuid_regs r = cpuid_checked(0x80000002 + leaf, 0);

		memcpy(buf + leaf * sizeof(r), &r, sizeof(r));
	}
	buf[47] = 0;
	while (*start == ' ')
		start++;
	memmove(buf, start, strlen(start) + 1);
}

static uint64_t usable_mib(void)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < boot_info->region_count; i++) {
		enum region_type t = boot_info->regions[i].type;

		if (t == REGION_USABLE || t == REGION_GUEST || t == REGION_IMAGE ||
		    t == REGION_HV || t == REGION_SPARE)
			bytes += boot_info->regions[i].size;
	}
	return bytes >> 20;
}

static void describe_machine(uint32_t running)
{
	char name[48] aligned(8), features[96];

	brand(name);
	cpu_features_describe(features, sizeof(features));
	log_info("Lamina " LAMINA_VERSION " on %s", name);
	log_info("cpu: %s, %u of %u cores, %s; TSC %u.%03u MHz (%s), APIC timer %u.%03u MHz",
		 hvm->name, running, cpu_count, features, tsc_khz() / 1000, tsc_khz() % 1000,
		 tsc_source(), lapic_timer_hz() / 1000000, lapic_timer_hz() / 1000 % 1000);
	log_info("memory: %llu MiB usable; hypervisor: image %llu KiB, pool %llu KiB",
		 (unsigned long long)usable_mib(),
		 (unsigned long long)(boot_info->image_size >> 10),
		 (unsigned long long)(boot_info->pool_size >> 10));
	if (boot_info->spare_size)
		log_info("memory: %llu MiB to spare for guests at run time",
			 (unsigned long long)(boot_info->spare_size >> 20));
	log_info("console: %s; firmware tables: %s", host_console_text(),
		 platform.present ? "ACPI" : "none, assuming a plain PC");
}

static void describe_guest(const struct guest *g)
{
	char cores[64];
	int at = 0;

	for (uint32_t i = 0; i < g->vcpu_count && at >= 0 && at < (int)sizeof(cores) - 8; i++)
		at += snprintf(cores + at, sizeof(cores) - (size_t)at, "%s%u", i ? "," : "",
			       g->vcpus[i]->cpu->index);
	log_info("guest %u: %s, core %s, %llu MiB at %#llx, kernel %s, overhead %llu KiB",
		 g->index + 1, g->config->name, cores,
		 (unsigned long long)(g->boot->memory_size >> 20),
		 (unsigned long long)g->boot->memory.v, g->config->kernel,
		 (unsigned long long)(g->budget.used * PAGE_SIZE >> 10));
}

static void create_guests(void)
{
	const struct config *config = &boot_info->config;
	struct vrtc_clock clock = { .epoch = boot_info->epoch,
				    .tsc = boot_info->tsc_epoch,
				    .tsc_hz = tsc_khz() * 1000ull };
	struct guest *g;
	uint32_t i, created = 0;

	guest_count = config->guest_count;
	for (i = 0; i < guest_count; i++) {
		if (config->guests[i].valid && guest_create(boot_info, i, &format, &clock) == OK)
			created++;
		footprint_charge(FOOTPRINT_DEVICES); /* their interrupts, for the IOMMU */
	}
	for_each_guest (g, i)
		describe_guest(g);
	if (!created)
		log_error("no guest could be created; the monitor stays open");
}

static void start_guests(void)
{
	struct guest *g;
	uint32_t i;

	for_each_guest (g, i) {
		if (g->config->autostart && guest_start(g) != OK)
			log_error("guest %s: cannot be started", g->config->name);
	}
}

static void init_vendor(void)
{
	enum cpu_vendor vendor = cpu_vendor();

	hvm = vendor == CPU_VENDOR_AMD || vendor == CPU_VENDOR_HYGON ? &svm_ops : &vmx_ops;
	/* The loader has refused machines without what is needed, while it could still return. */
	if (hvm->init(&format) != OK)
		panic("this CPU cannot run Lamina; the log says what is missing");
}

noreturn void hv_main(const struct boot_info *bi)
{
	uint32_t running;

	boot_info = bi;
	smp_init_boot_core(bi);
	hyp_mem_init(bi);
	footprint_charge(FOOTPRINT_COMMON);
	if (smp_alloc_cores(bi) != OK || window_init() != OK)
		panic("the pool of %llu KiB is too small",
		      (unsigned long long)(bi->pool_size >> 10));
	footprint_charge(FOOTPRINT_CORES);
	discover();
	host_console_init(bi, &platform);
	log_start((enum log_level)bi->config.log_level, bi->tsc_entry);
	init_clocks();
	init_vendor();
	footprint_charge(FOOTPRINT_COMMON);
	if (hvm->cpu_enable(cpus[0], &hyp_budget) != OK)
		panic("%s cannot be turned on", hvm->name);
	running = smp_start_cores(bi);
	footprint_charge(FOOTPRINT_CORES);
	tsc_calibrate_end();
	describe_machine(running);
	start_passthrough();
	footprint_charge(FOOTPRINT_DEVICES);
	guest_slots_init(bi);
	footprint_charge(FOOTPRINT_COMMON);
	create_guests();
	console_start(bi->cpus[0].apic_id);
	start_guests();
	smp_run_boot_core();
}

noreturn void cpu_main(struct cpu *c)
{
	for (;;) {
		if (cpu_take_nmi(c))
			host_nmi_work();
		/* Set by the boot core after this core came up: read it each time. */
		struct vcpu *v = __atomic_load_n(&c->vcpu, __ATOMIC_ACQUIRE);

		if (!v || !vcpu_step(v))
			cpu_idle_until_nmi(c);
	}
}
