/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_VPCI_LAYOUT_H
#define LAMINA_CORE_VPCI_LAYOUT_H

/* Where a guest with devices of its own finds its PCI bus; core/ssdt.asl says the same. */
#define VPCI_ECAM_GPA  0xe8000000ull
#define VPCI_ECAM_SIZE 0x100000u     /* bus 0 */
#define VPCI_MEM32_GPA 0xc0000000ull /* up to VPCI_ECAM_GPA: BARs below 4 GiB */
#define VPCI_IO        0xc000u       /* up to 10000h: ports of BARs */

#endif
