// The kernels of head for the host.
#include "device.h"

#include "../../Sources/CQLoRACUDA/kernels/common.cuh"
#include "../../Sources/CQLoRACUDA/kernels/rows.cuh"
#include "../../Sources/CQLoRACUDA/kernels/head.cu"
