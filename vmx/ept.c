/* SPDX-License-Identifier: BSD-2-Clause */
#include "panic.h"
#include "vmx/vmx.h"
#include "x86/cpuid.h"

enum status vmx_ept_format(struct spte_format *format)
{
	uint64_t cap = vmx_caps.ept_vpid;
	struct ept_caps caps = {
		.maxphyaddr = (uint8_t)cpu_phys_bits(),
		.exec_only = cap & EPT_CAP_EXEC_ONLY,
		.walk_4 = cap & EPT_CAP_WALK_4,
		.wb = cap & EPT_CAP_WB,
		.page_2m = cap & EPT_CAP_2M,
		.page_1g = cap & EPT_CAP_1G,
		.ad = cap & EPT_CAP_AD,
	};

	return spte_format_ept(format, &caps);
}

/* INVEPT and INVVPID take a 128-bit descriptor in memory (SDM vol. 3, 31.3). */
struct descriptor {
	uint64_t low, high;
};

/* A flush that did not happen must not be taken for one that did. */
static void invept(uint64_t type, uint64_t eptp)
{
	struct descriptor d = { eptp, 0 };
	bool failed;

	__asm__ volatile("invept %1, %2" : "=@ccbe"(failed) : "m"(d), "r"(type) : "memory");
	if (unlikely(failed))
		panic("INVEPT of type %llu fails", (unsigned long long)type);
}

static void invvpid(uint64_t type, uint16_t vpid)
{
	struct descriptor d = { vpid, 0 };
	bool failed;

	__asm__ volatile("invvpid %1, %2" : "=@ccbe"(failed) : "m"(d), "r"(type) : "memory");
	if (unlikely(failed))
		panic("INVVPID of type %llu fails", (unsigned long long)type);
}

void vmx_flush_all(void)
{
	invept(INVEPT_ALL, 0);
	if (vmx_caps.proc2 & PROC2_VPID)
		invvpid(INVVPID_ALL, 0);
}

void vmx_flush_root(uint64_t eptp)
{
	if (vmx_caps.invept_single)
		invept(INVEPT_SINGLE, eptp);
	else
		invept(INVEPT_ALL, 0);
}

void vmx_flush_vpid(uint16_t vpid)
{
	/* Without VPID each VM entry and exit drops the linear mappings (29.4.3.1). */
	if (!(vmx_caps.proc2 & PROC2_VPID))
		return;
	if (vmx_caps.invvpid_single)
		invvpid(INVVPID_SINGLE, vpid);
	else
		invvpid(INVVPID_ALL, 0);
}
