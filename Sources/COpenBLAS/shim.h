/* OpenBLAS as pkg-config finds it; only cblas_sgemm and the thread controls are used. */
#pragma once
#include <cblas.h>
