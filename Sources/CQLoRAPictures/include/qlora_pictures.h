/* Pixels of JPEG and WebP files by libjpeg-turbo's TurboJPEG and by libwebp, which are loaded when
 * the first such file is read. Callers have checked nothing of the bytes. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum {
  QLORA_PICTURE_READ = 0,
  /* This machine has no such library. */
  QLORA_PICTURE_NO_LIBRARY = 1,
  QLORA_PICTURE_DAMAGED = 2,
  /* Four inks instead of three colours. */
  QLORA_PICTURE_IS_CMYK = 3,
};

/* Width and height of a picture; nothing is decoded yet. */
int qlora_jpeg_size(const uint8_t *bytes, size_t count, int *width, int *height);
int qlora_webp_size(const uint8_t *bytes, size_t count, int *width, int *height);

/* Red, green and blue of each pixel to out `[height][width][3]`, for the size that was found. */
int qlora_jpeg_pixels(const uint8_t *bytes, size_t count, int width, int height, uint8_t *out);
int qlora_webp_pixels(const uint8_t *bytes, size_t count, int width, int height, uint8_t *out);
