/* The helper's image and the plan, each in a sealed memfd. */
#include "native.h"
#include "helper_image.h"
#include "kernel.h"

#include <errno.h>
#include <linux/fcntl.h>
#include <linux/memfd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif

/* `kind` is MFD_EXEC or MFD_NOEXEC_SEAL, which Linux 6.3 has brought. */
static int make(const char *name, const char *bytes, size_t size, unsigned kind)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | (kind == MFD_EXEC ? F_SEAL_EXEC : 0);
	int fd = (int)kernel_call(__NR_memfd_create, (long)name, flags | kind, 0, 0, 0, 0);
	long r = 0;

	if (fd == -EINVAL) {
		fd = (int)kernel_call(__NR_memfd_create, (long)name, flags, 0, 0, 0, 0);
		seals &= ~F_SEAL_EXEC;
	}
	if (fd < 0)
		return fd;
	while (size > 0 && (r >= 0 || r == -EINTR)) {
		r = kernel_call(__NR_write, fd, (long)bytes, (long)size, 0, 0, 0);
		if (r > 0) {
			bytes += r;
			size -= (size_t)r;
		}
	}
	if (r >= 0)
		r = kernel_call(__NR_fcntl, fd, F_ADD_SEALS, seals, 0, 0, 0);
	if (r < 0)
		kernel_call(__NR_close, fd, 0, 0, 0, 0, 0);
	return r < 0 ? (int)r : fd;
}

/* One for each container: without F_SEAL_EXEC (Linux 6.3) a container's root
 * could take the mode bits off a shared one. */
int ocirun_helper_fd(void)
{
	return make("ocirun-init", (const char *)helper_image, sizeof(helper_image), MFD_EXEC);
}

int ocirun_sealed_fd(const char *name, const void *bytes, size_t size)
{
	return make(name, bytes, size, MFD_NOEXEC_SEAL);
}
