/* A device that is no device: the kernels of Sources/CQLoRACUDA compiled for the host, behind the
   tables that a program fills from NVIDIA's libraries elsewhere. Blocks run one after the other,
   threads of a block as fibres, in an order that can be chosen; streams run at once. */
#pragma once

#include <qlora_cuda.h>

#ifdef __cplusplus
extern "C" {
#endif

const qlora_cuda_driver *cuda_simulator_driver(void);
const qlora_cuda_compiler *cuda_simulator_compiler(void);
const qlora_cuda_products *cuda_simulator_products(void);

/* 0: blocks and threads ascend; else an order of its own, the same for the same number. */
void cuda_simulator_set_order(unsigned seed);

/* Bytes of device memory; what is asked for beyond them is refused. */
void cuda_simulator_set_memory(size_t bytes);

/* Calls of cuMemAlloc since the program began. */
long cuda_simulator_allocations(void);

/* After `launches` more kernels every call fails as if the device had fallen off the bus; negative:
   never. */
void cuda_simulator_lose_after(long launches);

#ifdef __cplusplus
}
#endif
