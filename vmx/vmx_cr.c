/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes of CR0 and CR4 that exit: those that change a bit which Lamina keeps (NE, CD, NW; VMXE,
 * MCE and every CR4 bit that the guest may not have). The rest of the value may change as well, so
 * the whole instruction is carried out here with the checks of SDM vol. 2, MOV - Move to/from
 * Control Registers.
 */
#include "core/guest.h"
#include "vmx/vmcs_fields.h"
#include "vmx/vmx.h"
#include "x86/cpuid.h"
#include "x86/regs.h"

#define CR_NUMBER(q)    ((q)&0xf)
#define CR_ACCESS(q)    (((q) >> 4) & 3)
#define CR_REGISTER(q)  (((q) >> 8) & 0xf)
#define CR_LMSW_DATA(q) (((q) >> 16) & 0xffff)

enum {
	ACCESS_MOV_TO,
	ACCESS_MOV_FROM,
	ACCESS_CLTS,
	ACCESS_LMSW
};

#define CS_LONG (1u << 13)

/* What changes the translation of linear addresses, and so drops the guest's cached translations. */
#define CR0_RELOADS_PDPTES (CR0_PG | CR0_CD | CR0_NW)
#define CR4_RELOADS_PDPTES (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)

static uint64_t visible_cr(uint64_t real, uint64_t shadow, uint64_t mask)
{
	return (real & ~mask) | (shadow & mask);
}

uint64_t vmx_guest_cr0(void)
{
	return visible_cr(vmcs_read_nat(VMCS_GUEST_CR0), vmcs_read_nat(VMCS_CR0_SHADOW),
			  vmcs_read_nat(VMCS_CR0_MASK));
}

uint64_t vmx_guest_cr4(void)
{
	return visible_cr(vmcs_read_nat(VMCS_GUEST_CR4), vmcs_read_nat(VMCS_CR4_SHADOW),
			  vmcs_read_nat(VMCS_CR4_MASK));
}

/*
 * With EPT the CPU takes the PDPTEs of a PAE guest from the VMCS at VM entry (27.3.2.4), so an
 * emulated write that would have loaded them has to. False: a reserved bit is set, or they are
 * not in memory.
 */
static bool load_pdptes(struct vcpu *v)
{
	uint64_t pdpte[4];
	uint64_t reserved =
		~BITS(cpu_phys_bits() - 1, 12) & ~(BITS(11, 9) | BIT(4) | BIT(3) | BIT(0));
	gpa_t table = GPA(vmcs_read_nat(VMCS_GUEST_CR3) & 0xffffffe0ull);

	if (guest_read(v->guest, table, pdpte, sizeof(pdpte)) != OK)
		return false;
	for (unsigned i = 0; i < 4; i++) {
		if ((pdpte[i] & 1) && (pdpte[i] & reserved))
			return false;
	}
	for (unsigned i = 0; i < 4; i++)
		vmcs_write64_at(VMCS_GUEST_PDPTE0, i, pdpte[i]);
	return true;
}

static bool pae_paging(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

/* Turning paging on or off with EFER.LME set enters or leaves IA-32e mode (SDM vol. 3, 10.8.5). */
static bool switch_long_mode(uint64_t old, uint64_t new, uint64_t *efer)
{
	uint32_t cs = vmcs_read32(VMCS_GUEST_CS_ACCESS);

	if (!((old ^ new) & CR0_PG))
		return true;
	if (new &CR0_PG) {
		if (!(*efer & EFER_LME))
			return true;
		if (!(vmx_guest_cr4() & CR4_PAE) || (cs & CS_LONG))
			return false;
		*efer |= EFER_LMA;
		return true;
	}
	if ((*efer & EFER_LMA) && (cs & CS_LONG))
		return false;
	if (vmx_guest_cr4() & CR4_PCIDE)
		return false;
	*efer &= ~(uint64_t)EFER_LMA;
	return true;
}

static bool write_guest_cr0(struct vcpu *v, uint64_t new)
{
	uint64_t old = vmx_guest_cr0(), cr4 = vmx_guest_cr4();
	uint64_t efer = vmcs_read64(VMCS_GUEST_EFER), old_efer = efer;

	if (new >> 32)
		return false;
	if ((new &CR0_PG) && !(new &CR0_PE))
		return false;
	if ((new &CR0_NW) && !(new &CR0_CD))
		return false;
	if (!(new &CR0_WP) && (cr4 & CR4_CET))
		return false;
	if (!switch_long_mode(old, new, &efer))
		return false;
	/* Reserved bits are ignored, ET is always one. */
	new &= CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD |
	       CR0_PG;
	new |= CR0_ET;
	if (pae_paging(new, cr4, efer) && ((old ^ new) & CR0_RELOADS_PDPTES) && !load_pdptes(v))
		return false;
	vmcs_write_nat(VMCS_CR0_SHADOW, new);
	vmcs_write_nat(VMCS_GUEST_CR0, vmx_real_cr0(new));
	if (efer != old_efer)
		vmx_set_efer(efer);
	vmx_flush_vpid(vmx_of(v)->vpid);
	return true;
}

static bool write_guest_cr4(struct vcpu *v, uint64_t new)
{
	uint64_t old = vmx_guest_cr4(), cr0 = vmx_guest_cr0();
	uint64_t efer = vmcs_read64(VMCS_GUEST_EFER);

	/* MCE is the one bit that the guest may flip without having it. */
	if (new & ~(vmx_of(v)->cr4_owned | CR4_MCE))
		return false;
	if (efer & EFER_LMA) {
		if (!(new &CR4_PAE) || ((old ^ new) & CR4_LA57))
			return false;
	}
	if (!(old & CR4_PCIDE) && (new &CR4_PCIDE)) {
		if (!(efer & EFER_LMA) || (vmcs_read_nat(VMCS_GUEST_CR3) & CR3_PCID_MASK))
			return false;
	}
	if ((new &CR4_CET) && !(cr0 & CR0_WP))
		return false;
	if (pae_paging(cr0, new, efer) && ((old ^ new) & CR4_RELOADS_PDPTES) && !load_pdptes(v))
		return false;
	vmcs_write_nat(VMCS_CR4_SHADOW, new);
	vmcs_write_nat(VMCS_GUEST_CR4, vmx_real_cr4(new));
	vmx_flush_vpid(vmx_of(v)->vpid);
	return true;
}

/* Outside 64-bit mode MOV to a control register takes 32 bits. */
static uint64_t operand(struct vcpu *v, uint64_t qualification)
{
	uint64_t value = v->gpr[CR_REGISTER(qualification)];

	if ((vmcs_read64(VMCS_GUEST_EFER) & EFER_LMA) &&
	    (vmcs_read32(VMCS_GUEST_CS_ACCESS) & CS_LONG))
		return value;
	return (uint32_t)value;
}

static bool emulate(struct vcpu *v, uint64_t q)
{
	uint64_t cr0;

	switch (CR_ACCESS(q)) {
	case ACCESS_MOV_TO:
		if (CR_NUMBER(q) == 0)
			return write_guest_cr0(v, operand(v, q));
		if (CR_NUMBER(q) == 4)
			return write_guest_cr4(v, operand(v, q));
		break;
	case ACCESS_CLTS:
		return write_guest_cr0(v, vmx_guest_cr0() & ~(uint64_t)CR0_TS);
	case ACCESS_LMSW:
		/* Loads PE, MP, EM and TS; can set PE but not clear it. */
		cr0 = vmx_guest_cr0();
		cr0 = (cr0 & ~0xeull) | (CR_LMSW_DATA(q) & 0xf);
		return write_guest_cr0(v, cr0);
	default:
		break;
	}
	vcpu_die(v, "control register access that should not exit: qualification %#llx",
		 (unsigned long long)q);
	return true;
}

void vmx_cr_access(struct vcpu *v, uint64_t qualification)
{
	if (emulate(v, qualification))
		vmx_skip_instruction(v);
	else
		vmx_inject_exception(v, VEC_GP, true, 0);
}
