/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "boot/loader.h"

#define LINE_MAX_CHARS (REPORT_TEXT + 2)
#define WAIT_SECONDS   10

/* Format one line into the log; what did not fit is cut. Returns where it starts. */
static const char *append(const char *fmt, va_list args)
{
	char *at = loader.log + loader.log_size;
	size_t room = min_u64(sizeof(loader.log) - loader.log_size, LINE_MAX_CHARS);
	int n;

	if (room < 2)
		return "";
	n = vsnprintf(at, room - 1, fmt, args);
	if (n < 0)
		n = 0;
	n = (int)min_u64((uint64_t)n, room - 2);
	at[n] = '\n';
	at[n + 1] = '\0';
	loader.log_size += (uint32_t)n + 1;
	return at;
}

/* The firmware wants UCS-2 and both line-end characters. */
static void output(const char *s)
{
	SIMPLE_TEXT_OUTPUT_INTERFACE *out = loader.st->ConOut;
	CHAR16 wide[LINE_MAX_CHARS + 2];
	size_t n = 0;

	if (!out)
		return;
	for (; *s && n < LINE_MAX_CHARS; s++) {
		if (*s == '\n')
			wide[n++] = '\r';
		wide[n++] = (CHAR16)(unsigned char)*s;
	}
	wide[n] = 0;
	out->OutputString(out, wide);
}

void say(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	output(append(fmt, args));
	va_end(args);
}

void note(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	append(fmt, args);
	va_end(args);
}

void console_wait(void)
{
	SIMPLE_INPUT_INTERFACE *in = loader.st->ConIn;
	EFI_EVENT events[2];
	EFI_INPUT_KEY key;
	UINTN index;

	if (!in || !in->WaitForKey)
		return;
	if (EFI_ERROR(loader.bs->CreateEvent(EVT_TIMER, 0, NULL, NULL, &events[0])))
		return;
	say("Press a key to return to the firmware (or wait %d seconds).", WAIT_SECONDS);
	in->Reset(in, FALSE);
	events[1] = in->WaitForKey;
	/* In units of 100 ns. */
	if (!EFI_ERROR(loader.bs->SetTimer(events[0], TimerRelative, WAIT_SECONDS * 10000000ull)) &&
	    !EFI_ERROR(loader.bs->WaitForEvent(2, events, &index)) && index == 1)
		in->ReadKeyStroke(in, &key);
	loader.bs->CloseEvent(events[0]);
}
