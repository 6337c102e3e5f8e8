/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_TESTS_NVME_H
#define LAMINA_TESTS_NVME_H

#include "types.h"

/*
 * One NVMe disk with blocks of 512 bytes, by the NVM Express base specification 1.4: an admin
 * queue, and one pair of queues for reads and writes of one page each.
 */
#define NVME_DEPTH  64u /* commands in a queue, less one under way at most */
#define NVME_FLOOD  32u
#define NVME_CLASS  0x0108u
#define NVME_BLOCKS 8u /* in a page */

/*
 * Start the disk. `vector`: completions come as MSI-X interrupts to this core, which the caller
 * handles; 0: no interrupts. False: it does not get ready.
 */
bool nvme_init(uint32_t bdf, uint8_t vector);

/* A page to or from the disk's page of that number; NVME_DEPTH - 1 at a time at most. */
void nvme_submit(bool write, uint64_t address, uint64_t page);

/* Take a completion: 0 is success, else the status field; negative: there is none. */
int nvme_poll(void);

/* Submit and wait. */
int nvme_transfer(bool write, uint64_t address, uint64_t page);

#endif
