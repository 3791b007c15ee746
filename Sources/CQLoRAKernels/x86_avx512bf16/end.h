/* Ends what `begin.h` began. */
#pragma clang attribute pop  // begun by simd.h
#undef QLORA_INLINE
