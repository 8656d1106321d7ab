/* String and memory functions for a program without libc. */
#include "executor.h"

size_t text_length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

int text_equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

int text_starts(const char *s, const char *prefix)
{
	while (*prefix && *s == *prefix)
		s++, prefix++;
	return !*prefix;
}

/* Digits and a NUL; `out` has room for 24 bytes (64-bit octal).  Returns the length. */
size_t text_number(char *out, uint64_t value, unsigned base)
{
	char digits[24];
	size_t n = 0, i;

	do {
		digits[n++] = (char)('0' + value % base);
		value /= base;
	} while (value);
	for (i = 0; i < n; i++)
		out[i] = digits[n - 1 - i];
	out[n] = 0;
	return n;
}

void *bytes_copy(void *to, const void *from, size_t n)
{
	char *t = to;
	const char *f = from;
	size_t i;

	/* Overlap is allowed: progress_output moves its window down. */
	if (t <= f)
		for (i = 0; i < n; i++)
			t[i] = f[i];
	else
		for (i = n; i > 0; i--)
			t[i - 1] = f[i - 1];
	return to;
}

#if !defined(OCIRUN_RECORD) && !__STDC_HOSTED__
/* The compiler may call these by itself, for structure copies and clears. */
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);

void *memcpy(void *to, const void *from, size_t n)
{
	volatile char *t = to;
	const char *f = from;

	for (size_t i = 0; i < n; i++)
		t[i] = f[i];
	return to;
}

void *memset(void *to, int byte, size_t n)
{
	volatile char *t = to;

	for (size_t i = 0; i < n; i++)
		t[i] = (char)byte;
	return to;
}
#endif
