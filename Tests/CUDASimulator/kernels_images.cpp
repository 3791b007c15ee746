// The kernels of images for the host.
#include "device.h"

#include "../../Sources/CQLoRACUDA/kernels/common.cuh"
#include "../../Sources/CQLoRACUDA/kernels/images.cu"
