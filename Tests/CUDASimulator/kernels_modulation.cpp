// The kernels of modulation for the host.
#include "device.h"

#include "../../Sources/CQLoRACUDA/kernels/common.cuh"
#include "../../Sources/CQLoRACUDA/kernels/rows.cuh"
#include "../../Sources/CQLoRACUDA/kernels/modulation.cu"
