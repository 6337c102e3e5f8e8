/* SPDX-License-Identifier: BSD-2-Clause */
/* What a configuration that was read asks for, against what there is. */
#include "boot/config_parser.h"

uint32_t config_line(const struct config *c, const struct config_lines *lines, uint32_t guest,
		     enum guest_key key)
{
	uint32_t line = lines->guest[guest][key];

	return line ? line : c->guests[guest].line;
}

void config_check_machine(struct config *c, const struct config_lines *lines,
			  const struct config_machine *m, struct report *r)
{
	uint64_t left = m->memory;
	uint32_t i, k;

	for (i = 0; i < c->guest_count; i++) {
		struct guest_config *g = &c->guests[i];

		for (k = 0; k < g->core_count && g->valid; k++) {
			if (g->cores[k] < m->cores)
				continue;
			if (lines->guest[i][GUEST_CORES])
				report_error(
					r, lines->guest[i][GUEST_CORES],
					"guest '%s' wants core %u; this machine has %u (0 to %u)",
					g->name, g->cores[k], (unsigned int)m->cores,
					(unsigned int)m->cores - 1);
			else
				report_error(r, g->line,
					     "no core is left for guest '%s'; this machine has %u",
					     g->name, (unsigned int)m->cores);
			g->valid = false;
		}
		if (!g->valid)
			continue;
		if (g->memory > left) {
			report_error(
				r, config_line(c, lines, i, GUEST_MEMORY),
				"guest '%s' wants %lluM of memory; %lluM of this machine's %lluM are "
				"left",
				g->name, (unsigned long long)(g->memory >> 20),
				(unsigned long long)(left >> 20),
				(unsigned long long)(m->memory >> 20));
			g->valid = false;
			continue;
		}
		left -= g->memory;
	}
}

bool config_runnable(const struct config *c, struct report *r)
{
	uint32_t i;

	if (c->strict && r->errors) {
		report_error(r, 0,
			     "strict = yes: nothing is started because of the %u error%s above",
			     (unsigned int)r->errors, r->errors == 1 ? "" : "s");
		return false;
	}
	for (i = 0; i < c->guest_count; i++) {
		if (c->guests[i].valid)
			return true;
	}
	if (!c->guest_count)
		report_error(r, 0, "no guest; expected at least one section [guest NAME]");
	else
		report_error(r, 0, "no guest is left to start");
	return false;
}
