// The kernels of attention_rows for the host.
#include "device.h"

#include "../../Sources/CQLoRACUDA/kernels/common.cuh"
#include "../../Sources/CQLoRACUDA/kernels/attention_rows.cu"
#include "../../Sources/CQLoRACUDA/kernels/attention_cached.cu"
