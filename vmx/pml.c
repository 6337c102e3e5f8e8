/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page-modification logging (SDM vol. 3, 29.3.6): whenever a core sets the dirty flag of an EPT leaf,
 * it writes the guest-physical address to a page of ours, from its end down, and exits when that is
 * full. Only this core can tell how far it has got, so the list goes into the guest's dirty logs at
 * each exit, before the core says that it is outside; mm_hold() and mm_flush() then wait for it.
 */
#include "mm/mm_host.h"
#include "vmx/vmcs_fields.h"
#include "vmx/vmx.h"

#define PML_ENTRIES (PAGE_SIZE / sizeof(uint64_t))

void vmx_pml_reset(struct vmx_vcpu *hw)
{
	hw->pml_on = false;
	if (!hw->pml)
		return;
	vmcs_write64(VMCS_PML_ADDRESS, virt_to_hpa(hw->pml).v);
	vmcs_write16(VMCS_PML_INDEX, PML_ENTRIES - 1);
}

void vmx_pml_switch(struct vcpu *v)
{
	struct vmx_vcpu *hw = vmx_of(v);

	if (!hw->pml)
		return;
	hw->pml_on = !hw->pml_on;
	vmcs_write32(VMCS_PROC2_CONTROLS, vmx_caps.proc2 | (hw->pml_on ? PROC2_PML : 0));
}

void vmx_drain_dirty(struct vcpu *v)
{
	if (vmx_of(v)->pml_on)
		vmx_pml_drain(v);
}

void vmx_pml_drain(struct vcpu *v)
{
	struct vmx_vcpu *hw = vmx_of(v);
	/* The next entry to be written; beyond the last one, at entry 0, it wraps around. */
	uint16_t next = vmcs_read16(VMCS_PML_INDEX);
	unsigned i = next < PML_ENTRIES ? next + 1u : 0;

	if (i == PML_ENTRIES)
		return;
	mm_read_begin();
	for (; i < PML_ENTRIES; i++)
		tdp_mark_dirty(&v->guest->tdp, gpa_to_gfn(GPA(hw->pml[i])));
	mm_read_end();
	vmcs_write16(VMCS_PML_INDEX, PML_ENTRIES - 1);
}
