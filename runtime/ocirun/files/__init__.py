"""Files below a descriptor, where no path leads outside: what a container has changed, what is put into it."""
