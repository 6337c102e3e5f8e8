/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_X86_MCE_H
#define LAMINA_X86_MCE_H

/*
 * Let the calling core report machine checks, which the hypervisor owns: all banks on, what an
 * earlier boot has left in them logged and cleared. Nothing happens on a CPU without MCA.
 */
void mce_init(void);

#endif
