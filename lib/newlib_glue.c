// SPDX-License-Identifier: BSD-2-Clause
/*
 * What newlib's subset wants from its environment. There is no heap: vsnprintf() asks for memory
 * only to grow an open_memstream() buffer and for conversions of wide characters, neither of which
 * exists here, so every request fails and the caller sees a truncated string.
 */
#include <locale.h>
#include <reent.h>
#include <stddef.h>

void *_malloc_r(struct _reent *r, size_t size);
void *_realloc_r(struct _reent *r, void *p, size_t size);
void _free_r(struct _reent *r, void *p);
struct _reent *__getreent(void);
struct lconv *_localeconv_r(struct _reent *r);

/*
 * One structure for all cores: the subset writes nothing of it but errno, which no code of ours
 * reads, because on several cores its value would be anybody's. Without the initial value that
 * newlib has for it, pointers to streams that do not exist, it takes no room in the images.
 */
static struct _reent reent;

struct _reent *__getreent(void)
{
	return &reent;
}

void *_malloc_r(struct _reent *r, size_t size)
{
	(void)r;
	(void)size;
	return NULL;
}

void *_realloc_r(struct _reent *r, void *p, size_t size)
{
	(void)r;
	(void)p;
	(void)size;
	return NULL;
}

void _free_r(struct _reent *r, void *p)
{
	(void)r;
	(void)p;
}

/* Asked for by the ' flag only: the C locale groups no digits. */
struct lconv *_localeconv_r(struct _reent *r)
{
	static char none[] = "";
	static struct lconv c_locale = { .thousands_sep = none, .grouping = none };

	(void)r;
	return &c_locale;
}
