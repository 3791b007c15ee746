#include "qlora_kernels.h"
