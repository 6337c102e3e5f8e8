/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef LAMINA_CORE_HOST_NMI_H
#define LAMINA_CORE_HOST_NMI_H

/*
 * What an NMI of the hypervisor asks for, in normal context: serve the console's hardware. Kicks
 * carry their reason in vcpu->requests, which the caller looks at next. An NMI may stand for
 * several causes, so all are looked at each time.
 */
void host_nmi_work(void);

#endif
