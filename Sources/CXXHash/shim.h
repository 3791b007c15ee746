/* xxHash as pkg-config finds it; only streaming XXH3 with 128 bits is used. */
#pragma once
#include <xxhash.h>
