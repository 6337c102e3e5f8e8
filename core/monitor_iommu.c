/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/guest.h"
#include "core/monitor.h"
#include "core/monitor_cmds.h"
#include "core/passthrough.h"

#define SHOWN 8

static void print_reserved(void)
{
	char at[PCI_BDF_TEXT];

	for (uint32_t i = 0; i < iommu_info.reserved_count; i++) {
		const struct iommu_reserved *r = &iommu_info.reserved[i];

		monitor_print("  firmware's memory %#llx-%#llx, for%s",
			      (unsigned long long)r->base.v,
			      (unsigned long long)(r->base.v + r->size - 1), r->all ? " all" : "");
		for (uint32_t n = 0; n < r->count; n++) {
			pci_bdf_text(r->devices[n], at);
			monitor_print(" %s", at);
		}
		monitor_print("\n");
	}
}

static void print_faults(void)
{
	struct iommu_fault f;
	char at[PCI_BDF_TEXT];

	for (uint32_t i = 0; pci_tree && i < pci_tree->count; i++) {
		if (!iommu_faults_of(i))
			continue;
		pci_bdf_text(pci_tree->f[i].bdf, at);
		monitor_print("  device %s  %llu faults\n", at,
			      (unsigned long long)iommu_faults_of(i));
	}
	if (iommu_faults_unknown())
		monitor_print("  others  %llu faults\n",
			      (unsigned long long)iommu_faults_unknown());
	for (unsigned i = 0; i < SHOWN && iommu_faults_last(i, &f); i++) {
		pci_bdf_text(f.source, at);
		if (i == 0)
			monitor_print("the last faults, the newest first:\n");
		if (f.is_unit)
			monitor_print("  unit %u: %s (%#x)\n", f.unit, f.text, f.reason);
		else
			monitor_print("  unit %u: device %s, %s %#llx: %s (%#x)\n", f.unit, at,
				      f.interrupt ? "interrupt"
				      : f.write   ? "write to"
						  : "read from",
				      (unsigned long long)f.address, f.text, f.reason);
	}
}

void cmd_iommu(int argc, char **argv)
{
	char text[200];

	(void)argc;
	(void)argv;
	if (!iommu_info.ops) {
		monitor_print("no IOMMU is in use; `log` says why\n");
		return;
	}
	iommu_faults_poll();
	monitor_print("%s, %u unit%s, tables: %s, %u levels, pages up to %s, %u domains; %s\n",
		      iommu_info.ops->name, iommu_info.units, iommu_info.units == 1 ? "" : "s",
		      iommu_info.format.name, iommu_info.format.levels,
		      iommu_info.format.max_level == 3   ? "1G"
		      : iommu_info.format.max_level == 2 ? "2M"
							 : "4K",
		      iommu_info.domains,
		      !iommu_info.irq_remap ? "interrupts not remapped"
		      : iommu_info.x2apic   ? "interrupts remapped, x2APIC"
					    : "interrupts remapped");
	for (uint32_t i = 0; i < iommu_info.units; i++) {
		iommu_describe(i, text, sizeof(text));
		monitor_print("  unit %s\n", text);
	}
	print_reserved();
	print_faults();
}
