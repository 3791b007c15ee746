#include "qlora_system.h"
