/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "boot/elf.h"
#include "layout.h"

/* System V ABI, ELF-64 object file format: the two headers that a loader reads. */
struct elf_header {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf_program_header {
	uint32_t type, flags;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

#define ELF_MAGIC \
	"\x7f"    \
	"ELF\x02\x01\x01" /* 64-bit, little endian, version 1 */
#define ELF_EXEC       2
#define ELF_X86_64     62
#define PT_LOAD        1
#define PF_X           BIT(0)
#define PF_W           BIT(1)
#define IMAGE_SIZE_MAX SIZE_2M

static enum status add_segment(const uint8_t *file, uint64_t size,
			       const struct elf_program_header *p, struct elf_image *out)
{
	struct elf_segment *s = &out->segments[out->count];

	if (out->count == ELF_SEGMENTS || p->vaddr < HV_BASE || !IS_ALIGNED(p->vaddr, PAGE_SIZE) ||
	    p->vaddr - HV_BASE < out->image_size || p->vaddr - HV_BASE > IMAGE_SIZE_MAX ||
	    p->memsz > IMAGE_SIZE_MAX || p->filesz > p->memsz || p->offset > size ||
	    p->filesz > size - p->offset)
		return ERR_INVALID;
	s->offset = p->vaddr - HV_BASE;
	s->size = ALIGN_UP(p->memsz, PAGE_SIZE);
	s->data = file + p->offset;
	s->data_size = p->filesz;
	s->write = (p->flags & PF_W) != 0;
	s->execute = (p->flags & PF_X) != 0;
	out->image_size = s->offset + s->size;
	out->count++;
	return OK;
}

enum status elf_parse(const void *data, uint64_t size, struct elf_image *out)
{
	const uint8_t *file = data;
	struct elf_header h;
	uint32_t i;

	memset(out, 0, sizeof(*out));
	if (size < sizeof(h))
		return ERR_INVALID;
	memcpy(&h, file, sizeof(h));
	if (memcmp(h.ident, ELF_MAGIC, 7) != 0 || h.type != ELF_EXEC || h.machine != ELF_X86_64 ||
	    h.phentsize != sizeof(struct elf_program_header) || h.phoff > size ||
	    h.phnum > (size - h.phoff) / sizeof(struct elf_program_header))
		return ERR_INVALID;
	for (i = 0; i < h.phnum; i++) {
		struct elf_program_header p;

		memcpy(&p, file + h.phoff + i * sizeof(p), sizeof(p));
		if (p.type == PT_LOAD && p.memsz && add_segment(file, size, &p, out) != OK)
			return ERR_INVALID;
	}
	if (!out->count || h.entry < HV_BASE || h.entry - HV_BASE >= out->image_size)
		return ERR_INVALID;
	out->entry = h.entry;
	return OK;
}

/*
 * Whole quadwords by the string instructions, the rest by hand: the image is most of what the
 * loader moves at all, and this is the fewest instructions that it can take.
 */
static void copy(void *to, const void *from, uint64_t size)
{
	uint64_t quads = size / 8;

	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(quads) : : "memory");
	memcpy(to, from, size % 8);
}

static void zero(void *to, uint64_t size)
{
	uint64_t quads = size / 8;

	__asm__ volatile("rep stosq" : "+D"(to), "+c"(quads) : "a"(0ull) : "memory");
	memset(to, 0, size % 8);
}

void elf_load(const struct elf_image *image, void *to)
{
	uint64_t done = 0;
	uint32_t i;

	for (i = 0; i < image->count; i++) {
		const struct elf_segment *s = &image->segments[i];

		zero((char *)to + done, s->offset - done);
		copy((char *)to + s->offset, s->data, s->data_size);
		zero((char *)to + s->offset + s->data_size, s->size - s->data_size);
		done = s->offset + s->size;
	}
}
