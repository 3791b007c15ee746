/* Zstandard as pkg-config finds it; only streaming decompression is used. */
#pragma once
#include <zstd.h>
