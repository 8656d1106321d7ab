#ifndef OCIRUN_NATIVE_H
#define OCIRUN_NATIVE_H

#include <stddef.h>
#include <stdint.h>

#include "native.cdef.h"

#endif
