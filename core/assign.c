/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/assign.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The text, for use in a call. */
static const char *bdf(struct pci_bdf d, char text[PCI_BDF_TEXT])
{
	pci_bdf_text(d, text);
	return text;
}

static void refuse(struct assign_guest *a, const char *fmt, ...) printf_like(2, 3);

static void refuse(struct assign_guest *a, const char *fmt, ...)
{
	va_list args;

	/* The first reason is the one to mend first. */
	if (a->refusal[0])
		return;
	va_start(args, fmt);
	vsnprintf(a->refusal, sizeof(a->refusal), fmt, args);
	va_end(args);
}

static bool same_bdf(struct pci_bdf a, struct pci_bdf b)
{
	return a.segment == b.segment && a.bus == b.bus && a.device == b.device &&
	       a.function == b.function;
}

static bool fits(const struct pci_function *f, const struct config_device *d)
{
	const struct pci_bdf at = { d->segment, d->bus, d->device, d->function };

	switch (d->by) {
	case DEVICE_BY_ADDRESS:
		return same_bdf(f->bdf, at);
	case DEVICE_BY_ID:
		return f->vendor == d->vendor_id && f->device == d->device_id;
	case DEVICE_BY_CLASS:
		return (f->class & d->class_mask) == d->class;
	}
	return false;
}

/* Of those that fit, one that can be had; else one that cannot, to say why; else NULL. */
static struct pci_function *choose(struct pci_tree *t, const struct config_device *d)
{
	struct pci_function *other = NULL;

	for (uint32_t i = 0; i < t->count; i++) {
		struct pci_function *f = &t->f[i];

		if (!fits(f, d))
			continue;
		if (!f->reserved && f->owner == PCI_NO_OWNER)
			return f;
		if (!other)
			other = f;
	}
	return other;
}

static const char *describe(const struct config_device *d, char text[PCI_BDF_TEXT])
{
	const struct pci_bdf at = { d->segment, d->bus, d->device, d->function };

	if (d->by == DEVICE_BY_ADDRESS)
		return bdf(at, text);
	if (d->by == DEVICE_BY_ID)
		snprintf(text, PCI_BDF_TEXT, "%04x:%04x", d->vendor_id, d->device_id);
	else
		snprintf(text, PCI_BDF_TEXT, "class:%06x", d->class);
	return text;
}

static void check_function(const struct pci_function *f, const struct guest_config *g,
			   const struct assign_machine *m, struct assign_guest *a)
{
	char at[PCI_BDF_TEXT];

	bdf(f->bdf, at);
	if (f->reserved)
		refuse(a, "device %s cannot be given away: %s", at, f->reserved);
	else if (f->reset == PCI_RESET_NONE && !g->reset_none)
		refuse(a,
		       "device %s cannot be reset, so what a guest leaves in it reaches the next run; "
		       "reset=none in its section accepts that",
		       at);
	else if (!m->covers(f->requester) && !g->iommu_unsafe)
		refuse(a,
		       "device %s: no IOMMU contains it (is VT-d or AMD-Vi on in the firmware's setup?); "
		       "iommu=unsafe in its section gives it without DMA",
		       at);
	else if (m->covers(f->requester) && !m->irq_remap && !g->iommu_unsafe)
		refuse(a,
		       "device %s: the IOMMU does not remap interrupts, so it could send any interrupt "
		       "to any core; iommu=unsafe in its section accepts that",
		       at);
}

static void take(struct pci_tree *t, const struct config *c, uint32_t guest,
		 const struct assign_machine *m, struct assign_guest *a)
{
	const struct guest_config *g = &c->guests[guest];
	char name[PCI_BDF_TEXT];

	for (uint32_t i = 0; i < g->device_count && !a->refusal[0]; i++) {
		struct pci_function *f = choose(t, &g->devices[i]);

		describe(&g->devices[i], name);
		if (!f) {
			refuse(a, "device %s: there is none; `devs` in the monitor lists all",
			       name);
		} else if (f->owner == (int32_t)guest) {
			refuse(a, "device %s is listed twice", name);
		} else if (f->owner != PCI_NO_OWNER) {
			refuse(a, "device %s: guest %s has it", name, c->guests[f->owner].name);
		} else {
			check_function(f, g, m, a);
			if (a->refusal[0])
				return;
			f->owner = (int32_t)guest;
			a->function[a->count] = f;
			a->slot[a->count++] = g->devices[i].slot;
		}
	}
}

static void give_back(struct assign_guest *a)
{
	for (uint32_t i = 0; i < a->count; i++)
		a->function[i]->owner = PCI_NO_OWNER;
	a->count = 0;
}

/* All members of a group, as a list that ends in "..." if it is too long. */
static void list_group(const struct pci_tree *t, uint32_t group, char *text, size_t size)
{
	char at[PCI_BDF_TEXT];
	size_t used = 0;

	text[0] = 0;
	for (uint32_t i = 0; i < t->count; i++) {
		if (t->f[i].group != group)
			continue;
		if (used + PCI_BDF_TEXT + 8 > size) {
			snprintf(text + used, size - used, " ...");
			return;
		}
		used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
					 bdf(t->f[i].bdf, at));
	}
}

/* In use by somebody else: another guest, or Lamina itself. Idle neighbours do nothing. */
static bool is_used(const struct pci_function *f, uint32_t guest)
{
	return (f->owner != PCI_NO_OWNER && f->owner != (int32_t)guest) || f->in_use;
}

static void check_groups(const struct pci_tree *t, const struct config *c, uint32_t guest,
			 struct assign_guest *a)
{
	char at[PCI_BDF_TEXT], other[PCI_BDF_TEXT], list[96];

	for (uint32_t i = 0; i < a->count; i++) {
		for (uint32_t n = 0; n < t->count; n++) {
			const struct pci_function *f = &t->f[n];

			if (f->group != a->function[i]->group || !is_used(f, guest))
				continue;
			list_group(t, f->group, list, sizeof(list));
			refuse(a,
			       "device %s cannot be told apart from %s, which %s%s has; all of these "
			       "belong together: %s",
			       bdf(a->function[i]->bdf, at), bdf(f->bdf, other),
			       f->owner != PCI_NO_OWNER ? "guest " : "",
			       f->owner != PCI_NO_OWNER ? c->guests[f->owner].name : "Lamina",
			       list);
		}
	}
}

void assign_devices(struct pci_tree *t, const struct config *c, const struct assign_machine *m,
		    struct assign_guest *out)
{
	uint32_t i;

	memset(out, 0, c->guest_count * sizeof(*out));
	for (i = 0; i < c->guest_count; i++) {
		if (!c->guests[i].valid)
			continue;
		take(t, c, i, m, &out[i]);
		if (!out[i].refusal[0])
			check_groups(t, c, i, &out[i]);
		if (out[i].refusal[0])
			give_back(&out[i]);
	}
}
