/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_BOOT_CONFIG_PARSER_H
#define LAMINA_BOOT_CONFIG_PARSER_H

#include "boot/report.h"
#include "config.h"

/*
 * Reader of lamina.conf. Pure: the loader, the host tool, the tests and the fuzzer compile it
 * unchanged. The input is untrusted: any bytes of any length are answered with messages.
 */
#define CONFIG_FILE_MAX   65536        /* bytes; a larger file is refused unread */
#define CONFIG_MEMORY_MIN (4ull << 20) /* what a kernel needs is checked with the kernel */
#define CONFIG_MEMORY_MAX (16ull << 40)
#define CONFIG_POOL_MIN   (4ull << 20) /* what it needs is checked on the machine */
#define CONFIG_POOL_MAX   (64ull << 30)

/* Keys of a guest's section, as indices of the lines that the parser remembers for messages. */
enum guest_key {
	GUEST_KERNEL,
	GUEST_INITRD,
	GUEST_CMDLINE,
	GUEST_MEMORY,
	GUEST_CORES,
	GUEST_CONSOLE,
	GUEST_RESTART,
	GUEST_AUTOSTART,
	GUEST_TABLES,
	GUEST_ZAP,
	GUEST_NX,
	GUEST_PCI,
	GUEST_IOMMU,
	GUEST_RESET,
	GUEST_DMA_FAULT,
	GUEST_KEYS,
};

/* Where in the file each guest's keys are; 0: not given. */
struct config_lines {
	uint32_t guest[CONFIG_MAX_GUESTS][GUEST_KEYS];
	uint32_t lamina_memory;
	uint32_t lamina_spare;
};

/* What the configuration is checked against; nothing here comes from the file. */
struct config_machine {
	uint32_t cores;
	uint64_t memory; /* bytes that guests could get at most */
};

/*
 * Parse `size` bytes. Every error is reported, not only the first. A guest whose section has an
 * error gets valid = false; a wrong key of the hypervisor's own section keeps its default. The
 * caller reads r->errors and config_runnable() to decide. `text` need not be terminated.
 */
void config_parse(const char *text, size_t size, struct config *c, struct config_lines *lines,
		  struct report *r);

/* Report what this machine cannot give, and make those guests invalid. */
void config_check_machine(struct config *c, const struct config_lines *lines,
			  const struct config_machine *m, struct report *r);

/* A device belongs to one guest: the second one that asks for its address is left out. */
void config_check_devices(struct config *c, const struct config_lines *lines, struct report *r);

/* The line of a guest's key, or of its section if the key is not given. */
uint32_t config_line(const struct config *c, const struct config_lines *lines, uint32_t guest,
		     enum guest_key key);

/*
 * Whether something is left to boot: no error at all if strict=yes, else at least one valid guest.
 * Reports the reason if not.
 */
bool config_runnable(const struct config *c, struct report *r);

#endif
