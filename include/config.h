/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CONFIG_H
#define LAMINA_CONFIG_H

#include "types.h"

/*
 * The configuration after parsing: plain data, no pointers, so that the loader can hand it over
 * by copying. docs/configuration.md describes the file.
 */
#define CONFIG_MAX_GUESTS  16
#define CONFIG_MAX_CPUS    64
#define CONFIG_NAME_LEN    32
#define CONFIG_PATH_LEN    128
#define CONFIG_CMDLINE_LEN 2048
#define CONFIG_MAX_DEVICES 16

enum config_console {
	CONSOLE_FOCUS, /* show the guest that has the focus */
	CONSOLE_ALL,   /* show all guests, each line prefixed by the guest's name */
};

/* What to do when a guest ends: by power-off, by reboot, by a crash (triple fault, bad state). */
enum config_restart {
	RESTART_ON_REBOOT, /* reboot restarts; power-off and crash stop (default) */
	RESTART_NEVER,     /* any end stops the guest */
	RESTART_ON_CRASH,  /* reboot and crash restart; power-off stops */
	RESTART_ALWAYS,    /* any end restarts, but for the monitor's `stop` */
};

/* How much of a guest's second-level tables a change of its layout takes away. */
enum config_zap {
	ZAP_SLOT, /* what has changed (default) */
	ZAP_ALL,  /* everything, as other hypervisors do: for comparison and diagnosis */
};

/* Whether large pages may be executable: a flaw of some CPUs makes that dangerous. */
enum config_nx {
	NX_AUTO, /* by the CPU (default) */
	NX_ON,   /* never */
	NX_OFF,  /* always */
};

/* What happens to a guest whose device asks for memory or interrupts that it must not have. */
enum config_dma_fault {
	DMA_FAULT_COUNT, /* it is blocked, counted and logged (default) */
	DMA_FAULT_PAUSE, /* and the guest is paused */
	DMA_FAULT_STOP,  /* and the guest is stopped */
};

/*
 * A device of a guest, named in one of three ways. By ids or class, it is the first one in the order of
 * addresses that no guest has; named twice, the first two.
 */
struct config_device {
	enum {
		DEVICE_BY_ADDRESS,
		DEVICE_BY_ID,
		DEVICE_BY_CLASS,
	} by;
	uint16_t segment; /* DEVICE_BY_ADDRESS */
	uint8_t bus, device, function;
	uint16_t vendor_id, device_id; /* DEVICE_BY_ID */
	uint32_t class, class_mask;    /* DEVICE_BY_CLASS: 0xccssii */
	uint8_t slot;                  /* the device number that the guest sees; 0: any */
};

struct guest_config {
	bool valid; /* false: its section had an error; the guest is left out (unless strict=yes) */
	bool autostart;
	bool console;  /* has a console on the serial line */
	uint32_t line; /* of the section's header in the file */
	char name[CONFIG_NAME_LEN];
	char kernel[CONFIG_PATH_LEN];
	char initrd[CONFIG_PATH_LEN]; /* empty: none */
	char cmdline[CONFIG_CMDLINE_LEN];
	uint64_t memory;     /* bytes, a multiple of 2 MiB */
	uint32_t core_count; /* of `cores` */
	uint16_t
		cores[CONFIG_MAX_CPUS]; /* core numbers as Lamina counts them; 0 is the boot core */
	enum config_restart restart;
	uint64_t tables; /* bytes for second-level tables, beside what its memory needs */
	enum config_zap zap;
	enum config_nx nx_hugepages;
	uint32_t device_count;
	struct config_device devices[CONFIG_MAX_DEVICES];
	bool iommu_unsafe; /* have devices even where the machine cannot contain them */
	bool reset_none;   /* have devices even if they cannot be reset */
	enum config_dma_fault dma_fault;
};

struct config {
	bool strict; /* any error in any guest's section stops the boot */
	enum config_console console;
	uint8_t escape;       /* the monitor's key as a character code, e.g. 0x1d for Ctrl-] */
	uint8_t log_level;    /* enum log_level */
	bool serial_set;      /* `serial` was given; otherwise SPCR, then 0x3f8, then PCI is used */
	uint16_t serial_port; /* I/O port; 0 with serial_set means: no serial line */
	uint32_t baud;
	uint64_t memory; /* bytes for the hypervisor's pool; 0: computed */
	uint64_t spare;  /* bytes that guests can be given while they run; a multiple of 2 MiB */
	uint32_t guest_count;
	struct guest_config guests[CONFIG_MAX_GUESTS];
};

/* The devices of all guests together. */
static inline uint32_t config_devices(const struct config *c)
{
	uint32_t i, n = 0;

	for (i = 0; i < c->guest_count; i++)
		n += c->guests[i].device_count;
	return n;
}

#endif
