/* A device that is no device: the kernels of Sources/CQLoRACUDA compiled for the host, behind the
   tables that a program fills from NVIDIA's libraries elsewhere. Blocks run one after the other,
   threads of a block as fibres, in an order that can be chosen; streams run when somebody waits. */
#pragma once

#include <qlora_cuda.h>

#ifdef __cplusplus
extern "C" {
#endif

const qlora_cuda_driver *cuda_simulator_driver(void);
const qlora_cuda_compiler *cuda_simulator_compiler(void);
const qlora_cuda_products *cuda_simulator_products(void);
/* The same, but for proposals: there is none. */
const qlora_cuda_products *cuda_simulator_refusing_products(void);

/* The same, but that launches can't be captured. */
const qlora_cuda_driver *cuda_simulator_refusing_driver(void);

/* The same, but that blocks have as little shared memory as on a device of level 8.6. */
const qlora_cuda_driver *cuda_simulator_narrow_driver(void);

/* 0: blocks and threads ascend; else an order of its own, the same for the same number. */
void cuda_simulator_set_order(unsigned seed);

/* The same device with little memory, that can be lost: for tests that take turns, since all tests
   of a process run at once. */
const qlora_cuda_driver *cuda_simulator_frail_driver(void);

/* Bytes of the frail device's memory; what is asked for beyond them is refused. At first 1 GiB. */
void cuda_simulator_set_memory(size_t bytes);

/* After `launches` more kernels the frail device fails as if it had fallen off the bus; negative:
   never. */
void cuda_simulator_lose_after(long launches);

#ifdef __cplusplus
}
#endif
