/* A socket of another network namespace. */
#define _GNU_SOURCE
#include "native.h"

#include <errno.h>
#include <linux/netlink.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>

struct wanted {
	int namespace, result;
};

static void *open_there(void *argument)
{
	struct wanted *w = argument;

	w->result = setns(w->namespace, CLONE_NEWNET);
	if (w->result == 0)
		w->result = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (w->result < 0)
		w->result = -errno;
	return NULL;
}

/* A routing socket in the network namespace `namespace`.  A socket stays in
 * the namespace where it was made, and that of a thread is its own: one that
 * ends at once goes there, so no thread of the caller is ever elsewhere. */
int ocirun_netlink_socket(int namespace)
{
	struct wanted w = { namespace, -EIO };
	pthread_t thread;
	int r = pthread_create(&thread, NULL, open_there, &w);

	if (r == 0)
		r = pthread_join(thread, NULL);
	return r ? -r : w.result;
}
