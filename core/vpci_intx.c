/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/vpci_irq.h"

/* A function without a line (intx_line is 0) has no INTx to switch. */
void vpci_intx_command(struct vpci_irqs *q, uint16_t command)
{
	(void)q;
	(void)command;
}
