/* zlib as pkg-config finds it: gzip streams are inflated with it, and pictures deflated. */
#pragma once
#include <zlib.h>
