// The kernels of attention_tiles for the host.
#include "device.h"

#include "../../Sources/CQLoRACUDA/kernels/common.cuh"
#include "../../Sources/CQLoRACUDA/kernels/attention_tiles.cu"
#include "../../Sources/CQLoRACUDA/kernels/attention_tiles_backward.cu"
#include "../../Sources/CQLoRACUDA/kernels/attention_tiles_64.cu"
#include "../../Sources/CQLoRACUDA/kernels/attention_tiles_96.cu"
#include "../../Sources/CQLoRACUDA/kernels/attention_tiles_128.cu"
#include "../../Sources/CQLoRACUDA/kernels/attention_tiles_256.cu"
