// The kernels of weights for the host.
#include "device.h"

#include "../../Sources/CQLoRACUDA/kernels/common.cuh"
#include "../../Sources/CQLoRACUDA/kernels/weights.cu"
#include "../../Sources/CQLoRACUDA/kernels/few.cu"
#include "../../Sources/CQLoRACUDA/kernels/few_matrix.cu"
