/* The helper's image and the plan, each in a sealed memfd. */
#define _GNU_SOURCE
#include "native.h"
#include "helper_image.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif

static int fill(int fd, const void *bytes, size_t size, int seals)
{
	const char *at = bytes;
	int error;

	while (size > 0) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			goto fail;
		at += n;
		size -= (size_t)n;
	}
	if (fcntl(fd, F_ADD_SEALS, seals) == 0)
		return fd;
fail:
	error = errno;
	close(fd);
	return -error;
}

/* One for each container: without F_SEAL_EXEC (Linux 6.3) a container's root
 * could take the mode bits off a shared one. */
int ocirun_helper_fd(void)
{
	int fd = memfd_create("ocirun-init", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_EXEC;

	if (fd < 0 && errno == EINVAL) { /* before Linux 6.3 */
		fd = memfd_create("ocirun-init", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		seals &= ~F_SEAL_EXEC;
	}
	return fd < 0 ? -errno : fill(fd, helper_image, sizeof(helper_image), seals);
}

int ocirun_sealed_fd(const char *name, const void *bytes, size_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd < 0 ? -errno : fill(fd, bytes, size, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
}

size_t ocirun_helper_size(void)
{
	return sizeof(helper_image);
}
