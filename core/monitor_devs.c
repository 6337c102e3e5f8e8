/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor's `devs`: the machine's PCI functions, what they are and whose. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/guest.h"
#include "core/init.h"
#include "core/monitor.h"
#include "core/monitor_cmds.h"
#include "core/passthrough.h"
#include "core/vpci.h"

#define CAPS_MAX 64 /* a broken list may be circular */

static const char *owner_name(const struct pci_function *f)
{
	if (f->owner != PCI_NO_OWNER)
		return boot_info->config.guests[f->owner].name;
	return f->reserved ? "reserved" : "-";
}

static const char *bar_size(const struct pci_bar *bar, char text[MONITOR_SIZE_LEN])
{
	if (bar->size < 1024)
		snprintf(text, MONITOR_SIZE_LEN, "%u", (unsigned)bar->size);
	else
		monitor_size(bar->size, text);
	return text;
}

static void print_line(const struct pci_function *f)
{
	char at[PCI_BDF_TEXT], class[16], size[MONITOR_SIZE_LEN];

	pci_bdf_text(f->bdf, at);
	pci_class_name(f->class, class, sizeof(class));
	monitor_print("  %-12s %04x:%04x  %-12s %5u  %-16s %-6s", at, f->vendor, f->device, class,
		      f->group, owner_name(f), f->reserved ? "" : pci_reset_name(f->reset));
	for (uint32_t i = 0; i < PCI_BARS; i++) {
		if (f->bars[i].size)
			monitor_print(" %s%s", f->bars[i].io ? "io " : "",
				      bar_size(&f->bars[i], size));
	}
	monitor_print("\n");
}

/* [SSSS:]BB:DD.F */
static bool parse_bdf(const char *word, struct pci_bdf *d)
{
	unsigned long segment = 0, bus, device, function;
	char *end;

	bus = strtoul(word, &end, 16);
	if (*end != ':')
		return false;
	device = strtoul(end + 1, &end, 16);
	if (*end == ':') {
		segment = bus;
		bus = device;
		device = strtoul(end + 1, &end, 16);
	}
	if (*end != '.' || !end[1])
		return false;
	function = strtoul(end + 1, &end, 16);
	if (*end || segment > 0xffff || bus > 0xff || device > 31 || function > 7)
		return false;
	*d = (struct pci_bdf){ (uint16_t)segment, (uint8_t)bus, (uint8_t)device,
			       (uint8_t)function };
	return true;
}

static void print_bars(const struct pci_function *f)
{
	char size[MONITOR_SIZE_LEN], name[8];

	for (uint32_t i = 0; i <= PCI_ROM; i++) {
		const struct pci_bar *bar = &f->bars[i];

		if (!bar->size)
			continue;
		snprintf(name, sizeof(name), i == PCI_ROM ? "ROM" : "BAR %u", (unsigned)i % 8);
		monitor_print("  %s  %s %#llx, %s%s%s\n", name, bar->io ? "I/O" : "memory",
			      (unsigned long long)bar->base, bar_size(bar, size),
			      bar->wide ? ", 64 bits" : "",
			      bar->prefetchable ? ", prefetchable" : "");
	}
}

static void print_capabilities(const struct pci_function *f, const struct pci_access *a)
{
	uint32_t at = pci_read8(a, f->bdf, PCI_CAPABILITIES) & 0xfc;
	uint32_t header;

	if (f->msi || f->msix || f->pm || f->pcie || f->af)
		monitor_print("  has%s%s%s%s%s%s\n", f->pcie ? " PCIe" : "", f->msi ? " MSI" : "",
			      f->msix ? " MSI-X" : "", f->pm ? " power-management" : "",
			      f->af ? " AF" : "",
			      !f->acs     ? ""
			      : f->acs_on ? " ACS"
					  : " ACS (does not isolate)");
	monitor_print("  capabilities");
	for (uint32_t i = 0; i < CAPS_MAX && at >= 0x40; i++) {
		header = pci_read16(a, f->bdf, at);
		monitor_print(" %02x@%02x", header & 0xff, at);
		at = header >> 8 & 0xfc;
	}
	at = a->extended && f->pcie ? 0x100 : 0;
	for (uint32_t i = 0; i < CAPS_MAX && at >= 0x100; i++) {
		header = pci_read32(a, f->bdf, at);
		if (!header || header == ~0u)
			break;
		monitor_print(" %04x@%03x", header & 0xffff, at);
		at = header >> 20 & 0xffc;
	}
	monitor_print("\n");
}

static void print_owner(const struct pci_function *f)
{
	struct guest *g = f->owner == PCI_NO_OWNER ? NULL : guests[f->owner];
	char text[160];

	if (f->owner != PCI_NO_OWNER)
		monitor_print("  given to guest %s\n", owner_name(f));
	else if (f->reserved)
		monitor_print("  cannot be given away: %s\n", f->reserved);
	for (uint32_t i = 0; g && g->vpci && i < g->vpci->count; i++) {
		struct vpci_device *v = &g->vpci->devices[i];
		unsigned line = 0;
		bool more = true;

		if (v->host != f)
			continue;
		monitor_print("  the guest sees it as 00:%02x.0\n", v->slot);
		while (more) {
			spin_lock(&g->lock);
			more = vpci_irq_describe(&v->irqs, line++, text, sizeof(text));
			spin_unlock(&g->lock);
			if (more)
				monitor_print("  %s\n", text);
		}
	}
}

static void print_details(const struct pci_function *f)
{
	const struct pci_access *a = host_pci(f->bdf.segment);
	char requester[PCI_BDF_TEXT];

	print_line(f);
	if (!pci_same(f->requester, f->bdf)) {
		pci_bdf_text(f->requester, requester);
		monitor_print("  its requests carry the id of %s\n", requester);
	}
	print_owner(f);
	print_bars(f);
	monitor_print("  command %04x, status %04x", pci_read16(a, f->bdf, PCI_COMMAND),
		      pci_read16(a, f->bdf, PCI_STATUS));
	if (f->header == 1)
		monitor_print(", leads to buses %02x to %02x", f->secondary, f->subordinate);
	monitor_print("\n");
	print_capabilities(f, a);
	if (iommu_faults_of((uint32_t)(f - pci_tree->f)))
		monitor_print("  %llu faults; `iommu` shows the last ones\n",
			      (unsigned long long)iommu_faults_of((uint32_t)(f - pci_tree->f)));
}

static void print_group(const struct pci_function *f)
{
	bool first = true;

	for (uint32_t i = 0; i < pci_tree->count; i++) {
		const struct pci_function *o = &pci_tree->f[i];

		if (o == f || o->group != f->group)
			continue;
		if (first)
			monitor_print("  in the same group:\n");
		first = false;
		print_line(o);
	}
}

void cmd_devs(int argc, char **argv)
{
	const struct pci_function *f;
	struct pci_bdf d;
	char text[80];

	if (!pci_tree) {
		monitor_error("there is no list of devices; `log` says why\n");
		return;
	}
	if (argc < 2) {
		monitor_print("  %-12s %-9s  %-12s %5s  %-16s %-6s %s\n", "address", "id", "class",
			      "group", "owner", "reset", "BARs");
		for (uint32_t i = 0; i < pci_tree->count; i++)
			print_line(&pci_tree->f[i]);
		pci_tree_summary(pci_tree, text, sizeof(text));
		monitor_print("%s\n", text);
		return;
	}
	if (!parse_bdf(argv[1], &d)) {
		monitor_error("'%s' is no address; expected a form like 00:1f.2\n", argv[1]);
		return;
	}
	f = pci_tree_find(pci_tree, d);
	if (!f) {
		monitor_error("there is no device %s; `devs` lists all\n", argv[1]);
		return;
	}
	print_details(f);
	print_group(f);
}
