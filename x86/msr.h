/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_X86_MSR_H
#define LAMINA_X86_MSR_H

/*
 * Indices and bits of the model-specific registers that Lamina reads, writes, passes through or
 * filters. Plain numbers only, so that assembly can include it. SDM vol. 4 chapter 2; APM vol. 2
 * appendix A; AMD PPR for what begins with MSR_AMD.
 */

#define MSR_P5_MC_ADDR            0x000
#define MSR_P5_MC_TYPE            0x001
#define MSR_TSC                   0x010
#define MSR_PLATFORM_ID           0x017
#define MSR_APIC_BASE             0x01b
#define MSR_FEATURE_CONTROL       0x03a
#define MSR_TSC_ADJUST            0x03b
#define MSR_SPEC_CTRL             0x048
#define MSR_PRED_CMD              0x049
#define MSR_BIOS_UPDT_TRIG        0x079
#define MSR_BIOS_SIGN_ID          0x08b
#define MSR_SMM_MONITOR_CTL       0x09b
#define MSR_PMC(n)                (0x0c1 + (n))
#define MSR_PLATFORM_INFO         0x0ce
#define MSR_MPERF                 0x0e7
#define MSR_APERF                 0x0e8
#define MSR_MTRRCAP               0x0fe
#define MSR_ARCH_CAPABILITIES     0x10a
#define MSR_FLUSH_CMD             0x10b
#define MSR_MISC_FEATURES_ENABLES 0x140
#define MSR_SYSENTER_CS           0x174
#define MSR_SYSENTER_ESP          0x175
#define MSR_SYSENTER_EIP          0x176
#define MSR_MCG_CAP               0x179
#define MSR_MCG_STATUS            0x17a
#define MSR_MCG_CTL               0x17b
#define MSR_PERFEVTSEL(n)         (0x186 + (n))
#define MSR_PERF_STATUS           0x198
#define MSR_PERF_CTL              0x199
#define MSR_THERM_INTERRUPT       0x19b
#define MSR_THERM_STATUS          0x19c
#define MSR_MISC_ENABLE           0x1a0
#define MSR_ENERGY_PERF_BIAS      0x1b0
#define MSR_PACKAGE_THERM_STATUS  0x1b1
#define MSR_DEBUGCTL              0x1d9
#define MSR_LASTBRANCH_FROM       0x1db /* LASTBRANCHFROMIP on AMD */
#define MSR_LASTBRANCH_TO         0x1dc
#define MSR_LASTINT_FROM          0x1dd
#define MSR_LASTINT_TO            0x1de
#define MSR_MTRR_PHYSBASE(n)      (0x200 + 2 * (n))
#define MSR_MTRR_PHYSMASK(n)      (0x201 + 2 * (n))
#define MSR_MTRR_FIX64K_00000     0x250
#define MSR_MTRR_FIX16K_80000     0x258
#define MSR_MTRR_FIX16K_A0000     0x259
#define MSR_MTRR_FIX4K(n)         (0x268 + (n)) /* n = 0..7: C0000, C8000, … F8000 */
#define MSR_PAT                   0x277
#define MSR_MC_CTL2(n)            (0x280 + (n))
#define MSR_MTRR_DEF_TYPE         0x2ff
#define MSR_FIXED_CTR(n)          (0x309 + (n))
#define MSR_PERF_CAPABILITIES     0x345
#define MSR_FIXED_CTR_CTRL        0x38d
#define MSR_PERF_GLOBAL_STATUS    0x38e
#define MSR_PERF_GLOBAL_CTRL      0x38f
#define MSR_PERF_GLOBAL_OVF_CTRL  0x390
#define MSR_PEBS_ENABLE           0x3f1
#define MSR_MC_CTL(n)             (0x400 + 4 * (n))
#define MSR_MC_STATUS(n)          (0x401 + 4 * (n))
#define MSR_MC_ADDR(n)            (0x402 + 4 * (n))
#define MSR_MC_MISC(n)            (0x403 + 4 * (n))

#define MSR_VMX_BASIC           0x480
#define MSR_VMX_PINBASED_CTLS   0x481
#define MSR_VMX_PROCBASED_CTLS  0x482
#define MSR_VMX_EXIT_CTLS       0x483
#define MSR_VMX_ENTRY_CTLS      0x484
#define MSR_VMX_MISC            0x485
#define MSR_VMX_CR0_FIXED0      0x486
#define MSR_VMX_CR0_FIXED1      0x487
#define MSR_VMX_CR4_FIXED0      0x488
#define MSR_VMX_CR4_FIXED1      0x489
#define MSR_VMX_VMCS_ENUM       0x48a
#define MSR_VMX_PROCBASED_CTLS2 0x48b
#define MSR_VMX_EPT_VPID_CAP    0x48c
#define MSR_VMX_TRUE_PINBASED   0x48d
#define MSR_VMX_TRUE_PROCBASED  0x48e
#define MSR_VMX_TRUE_EXIT       0x48f
#define MSR_VMX_TRUE_ENTRY      0x490
#define MSR_VMX_VMFUNC          0x491
#define MSR_VMX_PROCBASED_CTLS3 0x492

#define MSR_A_PMC(n)     (0x4c1 + (n)) /* full-width aliases of MSR_PMC */
#define MSR_RTIT_CTL     0x570
#define MSR_RTIT_STATUS  0x571
#define MSR_DS_AREA      0x600
#define MSR_U_CET        0x6a0
#define MSR_S_CET        0x6a2
#define MSR_PL0_SSP      0x6a4
#define MSR_PL1_SSP      0x6a5
#define MSR_PL2_SSP      0x6a6
#define MSR_PL3_SSP      0x6a7
#define MSR_INT_SSP_TAB  0x6a8
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_PM_ENABLE    0x770
#define MSR_HWP_REQUEST  0x774

/* x2APIC registers: MSR_X2APIC(offset of the register in the xAPIC page). SDM vol. 3, table 10-6. */
#define MSR_X2APIC_BASE        0x800
#define MSR_X2APIC_END         0x8ff /* last */
#define MSR_X2APIC(offset)     (MSR_X2APIC_BASE + ((offset) >> 4))
#define MSR_X2APIC_ID          0x802
#define MSR_X2APIC_VERSION     0x803
#define MSR_X2APIC_TPR         0x808
#define MSR_X2APIC_PPR         0x80a
#define MSR_X2APIC_EOI         0x80b
#define MSR_X2APIC_LDR         0x80d
#define MSR_X2APIC_SVR         0x80f
#define MSR_X2APIC_ISR(n)      (0x810 + (n))
#define MSR_X2APIC_TMR(n)      (0x818 + (n))
#define MSR_X2APIC_IRR(n)      (0x820 + (n))
#define MSR_X2APIC_ESR         0x828
#define MSR_X2APIC_LVT_CMCI    0x82f
#define MSR_X2APIC_ICR         0x830
#define MSR_X2APIC_LVT_TIMER   0x832
#define MSR_X2APIC_LVT_THERMAL 0x833
#define MSR_X2APIC_LVT_PMC     0x834
#define MSR_X2APIC_LVT_LINT0   0x835
#define MSR_X2APIC_LVT_LINT1   0x836
#define MSR_X2APIC_LVT_ERROR   0x837
#define MSR_X2APIC_TIMER_ICR   0x838
#define MSR_X2APIC_TIMER_CCR   0x839
#define MSR_X2APIC_TIMER_DCR   0x83e
#define MSR_X2APIC_SELF_IPI    0x83f

#define MSR_XSS 0xda0

#define MSR_EFER           0xc0000080
#define MSR_STAR           0xc0000081
#define MSR_LSTAR          0xc0000082
#define MSR_CSTAR          0xc0000083
#define MSR_SFMASK         0xc0000084
#define MSR_FS_BASE        0xc0000100
#define MSR_GS_BASE        0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX        0xc0000103
#define MSR_AMD_TSC_RATIO  0xc0000104

#define MSR_AMD_PERFEVTSEL(n)     (0xc0010000 + (n))
#define MSR_AMD_PERFCTR(n)        (0xc0010004 + (n))
#define MSR_AMD_SYSCFG            0xc0010010
#define MSR_AMD_HWCR              0xc0010015
#define MSR_AMD_IORR_BASE(n)      (0xc0010016 + 2 * (n))
#define MSR_AMD_TOP_MEM           0xc001001a
#define MSR_AMD_TOP_MEM2          0xc001001d
#define MSR_AMD_NB_CFG            0xc001001f
#define MSR_AMD_PATCH_LOADER      0xc0010020
#define MSR_AMD_INT_PENDING       0xc0010055
#define MSR_AMD_MMIO_CONF_BASE    0xc0010058
#define MSR_AMD_PSTATE_LIMIT      0xc0010061
#define MSR_AMD_PSTATE_CTL        0xc0010062
#define MSR_AMD_PSTATE_STATUS     0xc0010063
#define MSR_AMD_PSTATE_DEF(n)     (0xc0010064 + (n))
#define MSR_AMD_SMM_BASE          0xc0010111
#define MSR_AMD_SMM_ADDR          0xc0010112
#define MSR_AMD_SMM_MASK          0xc0010113
#define MSR_VM_CR                 0xc0010114
#define MSR_IGNNE                 0xc0010115
#define MSR_SMM_CTL               0xc0010116
#define MSR_VM_HSAVE_PA           0xc0010117
#define MSR_SVM_LOCK_KEY          0xc0010118
#define MSR_AMD_VIRT_SPEC_CTRL    0xc001011f
#define MSR_AMD_OSVW_ID_LENGTH    0xc0010140
#define MSR_AMD_OSVW_STATUS       0xc0010141
#define MSR_AMD_PERFEVTSEL_EXT(n) (0xc0010200 + 2 * (n))
#define MSR_AMD_PERFCTR_EXT(n)    (0xc0010201 + 2 * (n))
#define MSR_AMD_LS_CFG            0xc0011020
#define MSR_AMD_IC_CFG            0xc0011021
#define MSR_AMD_DC_CFG            0xc0011022
#define MSR_AMD_DE_CFG            0xc0011029
#define MSR_AMD_BU_CFG2           0xc001102a
#define MSR_AMD_IBS_FETCH_CTL     0xc0011030
#define MSR_AMD_IBS_OP_CTL        0xc0011033

#define APIC_BASE_BSP    (1 << 8)
#define APIC_BASE_EXTD   (1 << 10) /* x2APIC mode */
#define APIC_BASE_EN     (1 << 11)
#define APIC_BASE_ADDR   0x000ffffffffff000ull
#define APIC_DEFAULT_GPA 0xfee00000ull

#define FEATURE_CONTROL_LOCK       (1 << 0)
#define FEATURE_CONTROL_VMX_IN_SMX (1 << 1)
#define FEATURE_CONTROL_VMX        (1 << 2) /* outside SMX */
#define FEATURE_CONTROL_SGX_LAUNCH (1 << 17)
#define FEATURE_CONTROL_SGX        (1 << 18)
#define FEATURE_CONTROL_LMCE       (1 << 20)

#define SPEC_CTRL_IBRS  (1 << 0)
#define SPEC_CTRL_STIBP (1 << 1)
#define SPEC_CTRL_SSBD  (1 << 2)
#define PRED_CMD_IBPB   (1 << 0)
#define FLUSH_CMD_L1D   (1 << 0)

#define ARCH_CAP_RDCL_NO            (1 << 0)
#define ARCH_CAP_IBRS_ALL           (1 << 1)
#define ARCH_CAP_RSBA               (1 << 2)
#define ARCH_CAP_SKIP_L1DFL_VMENTRY (1 << 3)
#define ARCH_CAP_SSB_NO             (1 << 4)
#define ARCH_CAP_MDS_NO             (1 << 5)
#define ARCH_CAP_PSCHANGE_MC_NO     (1 << 6)
#define ARCH_CAP_TSX_CTRL           (1 << 7)
#define ARCH_CAP_TAA_NO             (1 << 8)
#define ARCH_CAP_SBDR_SSDP_NO       (1 << 13)
#define ARCH_CAP_FBSDP_NO           (1 << 14)
#define ARCH_CAP_PSDP_NO            (1 << 15)
#define ARCH_CAP_FB_CLEAR           (1 << 17)
#define ARCH_CAP_RRSBA              (1 << 19)
#define ARCH_CAP_BHI_NO             (1 << 20)
#define ARCH_CAP_PBRSB_NO           (1 << 24)
#define ARCH_CAP_GDS_CTRL           (1 << 25)
#define ARCH_CAP_GDS_NO             (1 << 26)
#define ARCH_CAP_RFDS_NO            (1 << 27)
#define ARCH_CAP_RFDS_CLEAR         (1 << 28)

#define MTRRCAP_VCNT        0xff
#define MTRRCAP_FIX         (1 << 8)
#define MTRRCAP_WC          (1 << 10)
#define MTRRCAP_SMRR        (1 << 11)
#define MTRR_DEF_TYPE_MASK  0xff
#define MTRR_DEF_FIX_ENABLE (1 << 10)
#define MTRR_DEF_ENABLE     (1 << 11)
#define MTRR_PHYSMASK_VALID (1 << 11)

/* Memory types, as MTRRs, PAT and EPT encode them. */
#define MEM_TYPE_UC       0
#define MEM_TYPE_WC       1
#define MEM_TYPE_WT       4
#define MEM_TYPE_WP       5
#define MEM_TYPE_WB       6
#define MEM_TYPE_UC_MINUS 7 /* PAT only */

#define PAT_RESET 0x0007040600070406ull /* after reset; SDM vol. 3, table 11-12 */

#define DEBUGCTL_LBR           (1 << 0)
#define DEBUGCTL_BTF           (1 << 1)
#define DEBUGCTL_FREEZE_IN_SMM (1 << 14)

#define MISC_ENABLE_FAST_STRING  (1 << 0)
#define MISC_ENABLE_BTS_UNAVAIL  (1 << 11)
#define MISC_ENABLE_PEBS_UNAVAIL (1 << 12)
#define MISC_ENABLE_MWAIT        (1 << 18)
#define MISC_ENABLE_LIMIT_CPUID  (1 << 22)
#define MISC_ENABLE_XD_DISABLE   (1ull << 34)

#define MCG_CAP_COUNT   0xff
#define MCG_CAP_CTL_P   (1 << 8)
#define MCG_STATUS_RIPV (1 << 0)
#define MCG_STATUS_EIPV (1 << 1)
#define MCG_STATUS_MCIP (1 << 2)
#define MC_STATUS_VAL   (1ull << 63)
#define MC_STATUS_OVER  (1ull << 62)
#define MC_STATUS_UC    (1ull << 61)
#define MC_STATUS_EN    (1ull << 60)
#define MC_STATUS_MISCV (1ull << 59)
#define MC_STATUS_ADDRV (1ull << 58)
#define MC_STATUS_PCC   (1ull << 57)

#define VM_CR_DPD      (1 << 0)
#define VM_CR_R_INIT   (1 << 1) /* INIT becomes #SX */
#define VM_CR_DIS_A20M (1 << 2)
#define VM_CR_LOCK     (1 << 3)
#define VM_CR_SVMDIS   (1 << 4)

#define AMD_HWCR_SMMLOCK            (1 << 0)
#define AMD_HWCR_TSC_FREQ_SEL       (1 << 24)
#define AMD_SYSCFG_MTRR_FIX_DRAM_EN (1 << 18)
#define AMD_SYSCFG_SMEE             (1 << 23)
#define AMD_INT_PENDING_C1E         (3 << 27)

#endif
