/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_LAYOUT_H
#define LAMINA_LAYOUT_H

/*
 * The hypervisor's virtual address space. The loader maps the first two of these areas before it
 * jumps, the rest exists only in the hypervisor's own tables. Bare numbers, because linker scripts
 * and assembly use them as well.
 *
 *   HV_BASE      the image, at the permissions of its program headers, 4 KiB pages
 *   POOL_BASE    the pool: virtual = POOL_BASE + (hpa - boot_info.pool), writable, not executable
 *   MAP_BASE     mappings made on demand: MMIO, firmware tables, framebuffer
 *   WINDOW_BASE  each core's windows into guest memory
 */
#define HV_BASE     0xffffffff80000000
#define POOL_BASE   0xffff900000000000
#define MAP_BASE    0xffffa00000000000
#define WINDOW_BASE 0xffffb00000000000

#endif
