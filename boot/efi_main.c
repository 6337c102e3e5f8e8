/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The UEFI application. It reads the configuration and the guests' images, checks that this
 * machine can do what they ask for, takes the memory and then the whole machine, and jumps to the
 * hypervisor that it carries. Up to the last step everything can be undone: whatever is wrong is
 * said on the console and the firmware continues where it was.
 */
#include "boot/loader.h"
#include "boot/plan.h"
#include "x86/asm.h"

struct loader loader;

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *st);

static void emit_report(void *ctx, const char *text)
{
	(void)ctx;
	say("%s", text);
}

static void emit_cpu(void *ctx, const char *text)
{
	(void)ctx;
	say("Lamina: %s", text);
}

static bool check_cpu(void)
{
	struct cpu_facts facts;
	char text[128];

	cpu_probe(&facts);
	cpu_describe(&facts, text, sizeof(text));
	if (!cpu_check(&facts, emit_cpu, NULL)) {
		note("Lamina: %s", text);
		return true;
	}
	say("Lamina: found %s", text);
	return false;
}

/* What the file asks for against what the machine has. */
static bool check_machine(void)
{
	struct config_machine m;
	uint64_t total;

	if (!memory_survey())
		return false;
	platform_find_rsdp();
	platform_find_cores();
	platform_sample_clock();
	total = plan_total(loader.memory.regions, loader.memory.count);
	m.cores = loader.cpu_count;
	m.memory = plan_guest_room(total, &loader.config, m.cores);
	config_check_machine(&loader.config, &loader.lines, &m, &loader.report);
	loader.pool_size = plan_pool_size(&loader.config, m.cores);
	if (loader.config.memory && loader.config.memory < loader.pool_size)
		report_error(
			&loader.report, loader.lines.lamina_memory,
			"memory = %lluM: this configuration on %u cores needs at least %lluM, which "
			"Lamina takes",
			(unsigned long long)(loader.config.memory >> 20), (unsigned int)m.cores,
			(unsigned long long)(loader.pool_size >> 20));
	note("Lamina: %u cores, %llu MiB for guests, %llu MiB for the hypervisor",
	     (unsigned int)m.cores, (unsigned long long)(m.memory >> 20),
	     (unsigned long long)(loader.pool_size >> 20));
	return true;
}

static bool runnable(void)
{
	return config_runnable(&loader.config, &loader.report);
}

/* Everything that can fail because of what is on the disk or in the machine. */
static bool prepare(void)
{
	if (!check_cpu() || !files_open_volume() || !files_read_config() || !check_machine() ||
	    !runnable())
		return false;
	if (!launch_allocate())
		return false;
	files_load_images();
	if (!memory_place() || !runnable())
		return false;
	files_release_unused();
	report_finish(&loader.report);
	return true;
}

EFI_STATUS efi_main(EFI_HANDLE handle, EFI_SYSTEM_TABLE *st)
{
	uint64_t tsc = rdtsc();
	EFI_STATUS status = EFI_ABORTED;

	loader.tsc_entry = tsc;
	loader.handle = handle;
	loader.st = st;
	loader.bs = st->BootServices;
	loader.report.emit = emit_report;
	loader.report.file = "lamina.conf";
	say("Lamina: starting");
	if (prepare())
		status = launch();
	report_finish(&loader.report);
	memory_release_all();
	say("Lamina was not started; nothing has been changed.");
	console_wait();
	return status;
}
