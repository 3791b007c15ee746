// The kernels of rows for the host.
#include "device.h"

#include "../../Sources/CQLoRACUDA/kernels/common.cuh"
#include "../../Sources/CQLoRACUDA/kernels/rows.cuh"
#include "../../Sources/CQLoRACUDA/kernels/rows.cu"
