/* Ends what `begin.h` began. */
#pragma clang attribute pop
#undef QLORA_INLINE
