// A device that only lends addresses: a plan's rehearsal makes the real one's requests of it, and
// nothing is computed. See qlora_cuda.h.
#include "qlora_cuda.h"

#include <string.h>

// Where the lent addresses begin: no memory of the process is there.
static _Atomic qlora_cuda_address next_address = (qlora_cuda_address)1 << 52;
static char something;

static int give(qlora_cuda_handle *handle) {
  *handle = &something;
  return 0;
}

static int allocate(qlora_cuda_address *address, size_t bytes) {
  *address = __c11_atomic_fetch_add(&next_address, (bytes + 4095) / 4096 * 4096,
                                    __ATOMIC_RELAXED);
  return 0;
}

static int release(qlora_cuda_address address) { return (void)address, 0; }

static int pin(void **address, size_t bytes, unsigned flags) {
  return (void)address, (void)bytes, (void)flags, 2;
}

static int take(qlora_cuda_address to, const void *from, size_t bytes, qlora_cuda_handle stream) {
  return (void)to, (void)from, (void)bytes, (void)stream, 0;
}

static int give_zeros(void *to, qlora_cuda_address from, size_t bytes, qlora_cuda_handle stream) {
  (void)from, (void)stream;
  memset(to, 0, bytes);
  return 0;
}

static int fill(qlora_cuda_address address, unsigned char value, size_t bytes,
                qlora_cuda_handle stream) {
  return (void)address, (void)value, (void)bytes, (void)stream, 0;
}

static int pass(qlora_cuda_handle handle) { return (void)handle, 0; }

static int load_module(qlora_cuda_handle *module, const void *image) {
  (void)image;
  return give(module);
}

static int find(qlora_cuda_handle *function, qlora_cuda_handle module, const char *name) {
  (void)module, (void)name;
  return give(function);
}

static int set(qlora_cuda_handle function, int attribute, int value) {
  return (void)function, (void)attribute, (void)value, 0;
}

static int launch(qlora_cuda_handle function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                  unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                  qlora_cuda_handle stream, void **arguments, void **extra) {
  (void)function, (void)grid_x, (void)grid_y, (void)grid_z, (void)block_x, (void)block_y;
  return (void)block_z, (void)shared_bytes, (void)stream, (void)arguments, (void)extra, 0;
}

static int make_product(qlora_cuda_handle *product, int compute, int scale) {
  (void)compute, (void)scale;
  return give(product);
}

static int set_value(qlora_cuda_handle handle, int attribute, const void *value, size_t bytes) {
  return (void)handle, (void)attribute, (void)value, (void)bytes, 0;
}

static int make_layout(qlora_cuda_handle *layout, int type, uint64_t rows, uint64_t columns,
                       int64_t stride) {
  (void)type, (void)rows, (void)columns, (void)stride;
  return give(layout);
}

static int propose(qlora_cuda_handle handle, qlora_cuda_handle product, qlora_cuda_handle a,
                   qlora_cuda_handle b, qlora_cuda_handle c, qlora_cuda_handle d,
                   qlora_cuda_handle preference, int wanted, qlora_cuda_algorithm *results,
                   int *found) {
  (void)handle, (void)product, (void)a, (void)b, (void)c, (void)d, (void)preference, (void)wanted;
  memset(results, 0, sizeof *results);
  *found = 1;
  return 0;
}

static int multiply(qlora_cuda_handle handle, qlora_cuda_handle product, const void *alpha,
                    qlora_cuda_address a, qlora_cuda_handle a_layout, qlora_cuda_address b,
                    qlora_cuda_handle b_layout, const void *beta, qlora_cuda_address c,
                    qlora_cuda_handle c_layout, qlora_cuda_address d, qlora_cuda_handle d_layout,
                    const void *algorithm, qlora_cuda_address workspace, size_t workspace_bytes,
                    qlora_cuda_handle stream) {
  (void)handle, (void)product, (void)alpha, (void)a, (void)a_layout, (void)b, (void)b_layout;
  (void)beta, (void)c, (void)c_layout, (void)d, (void)d_layout, (void)algorithm;
  return (void)workspace, (void)workspace_bytes, (void)stream, 0;
}

void qlora_cuda_make_hollow(qlora_cuda_driver *driver, qlora_cuda_products *products) {
  driver->context_set = pass;
  driver->allocate = allocate;
  driver->free = release;
  driver->allocate_pinned = pin;
  driver->copy_to_device = take;
  driver->copy_to_host = give_zeros;
  driver->fill = fill;
  driver->stream_synchronize = pass;
  driver->stream_destroy = pass;
  driver->module_load = load_module;
  driver->module_unload = pass;
  driver->module_function = find;
  driver->function_set = set;
  driver->launch = launch;
  products->create = give;
  products->destroy = pass;
  products->product_create = make_product;
  products->product_destroy = pass;
  products->product_set = set_value;
  products->layout_create = make_layout;
  products->layout_destroy = pass;
  products->preference_create = give;
  products->preference_destroy = pass;
  products->preference_set = set_value;
  products->propose = propose;
  products->multiply = multiply;
}
