/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm.h"

static void read_at(int fd, void *to, size_t size, off_t offset)
{
	if (pread(fd, to, size, offset) != (ssize_t)size)
		fail("KVM's statistics");
}

/* The layout: KVM's api.rst, 4.133 KVM_GET_STATS_FD. */
uint64_t stats_read(int fd, const char *name)
{
	struct kvm_stats_header h;
	uint64_t value = 0;
	size_t size;
	char *d;

	read_at(fd, &h, sizeof(h), 0);
	size = sizeof(struct kvm_stats_desc) + h.name_size;
	d = malloc(size);
	if (!d)
		fail("malloc");
	for (uint32_t i = 0; i < h.num_desc; i++) {
		struct kvm_stats_desc *desc = (struct kvm_stats_desc *)d;

		read_at(fd, d, size, (off_t)(h.desc_offset + i * size));
		if (!strncmp(desc->name, name, h.name_size)) {
			read_at(fd, &value, sizeof(value), (off_t)h.data_offset + desc->offset);
			break;
		}
	}
	free(d);
	return value;
}
