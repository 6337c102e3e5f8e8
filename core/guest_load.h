/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_GUEST_LOAD_H
#define LAMINA_CORE_GUEST_LOAD_H

#include "core/guest.h"
#include "core/vcpu.h"

/*
 * Where things lie in the first megabyte of a Linux guest. E820 says usable for all of it below
 * GUEST_LOW_TOP: the kernel copies what it needs before it allocates there.
 */
#define GUEST_BOOT_PARAMS 0x7000ull
#define GUEST_GDT         0x8000ull
#define GUEST_PAGE_TABLES 0x9000ull /* PML4, PDPT, four page directories: 4 GiB identity */
#define GUEST_CMDLINE     0x10000ull
#define GUEST_LOW_TOP     0x9fc00ull

/* RAM beyond this many bytes continues at 4 GiB: the hole holds the APICs (and PCI later). */
#define GUEST_LOW_RAM 0xc0000000ull

/* What the pure part needs to know, and what it decides. */
struct linux_plan {
	uint64_t kernel_size; /* bytes of the file */
	uint64_t initrd_size; /* bytes; 0: none */
	uint64_t memory;      /* bytes of the guest */
	bool pci;             /* it has a PCI bus */
	uint64_t load;        /* out: gpa of the protected-mode code */
	uint64_t setup_size;  /* out: bytes of the file before that code */
	uint64_t initrd;      /* out: gpa */
};

struct linux_setup_header;

/*
 * Choose the kernel's and the initrd's places. ERR_INVALID: no 64-bit bzImage; ERR_RANGE: the
 * guest's memory is too small for both.
 */
enum status must_check linux_plan(const struct linux_setup_header *h, struct linux_plan *p);

/*
 * Fill the boot_params page (4096 bytes) from the file's header: E820, command line, initrd, RSDP.
 */
void linux_boot_params(void *page, const struct linux_setup_header *h, uint32_t header_size,
		       const struct linux_plan *p);

/*
 * Make the guest's firmware tables, once its vCPUs exist; so a later start needs no memory that
 * page tables may have used up meanwhile. ERR_NOMEM.
 */
enum status must_check guest_load_prepare(struct guest *g);

/*
 * Write everything a guest needs into its memory and say where its first core starts. On the
 * calling core; may be called again for each start, with the files as they were read at boot.
 */
enum status must_check guest_load(struct guest *g, struct vcpu_start *start);

#endif
