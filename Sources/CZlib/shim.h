/* zlib as pkg-config finds it; only inflating gzip streams is used. */
#pragma once
#include <zlib.h>
