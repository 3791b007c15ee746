/* The few functions of TurboJPEG and libwebp that reading a picture takes, found by name. Their
 * numbers are part of these libraries' binary interfaces. See qlora_pictures.h. */
#include "qlora_pictures.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

typedef void *tjhandle;

enum {
  tj_pixels_rgb = 0,
  tj_colors_cmyk = 3,
  tj_colors_ycck = 4,
  /* Ends at a file whose scans would take for ever. */
  tj_limit_scans = 32768,
};

static struct {
  tjhandle (*open)(void);
  int (*header)(tjhandle handle, const unsigned char *bytes, unsigned long count, int *width,
                int *height, int *sampling, int *colors);
  int (*decode)(tjhandle handle, const unsigned char *bytes, unsigned long count,
                unsigned char *out, int width, int pitch, int height, int format, int flags);
  char *(*error_text)(tjhandle handle);
  int (*close)(tjhandle handle);
} jpeg;

static struct {
  int (*size)(const uint8_t *bytes, size_t count, int *width, int *height);
  uint8_t *(*decode)(const uint8_t *bytes, size_t count, uint8_t *out, size_t out_count,
                     int stride);
} webp;

static bool has_jpeg, has_webp;
static pthread_once_t jpeg_once = PTHREAD_ONCE_INIT, webp_once = PTHREAD_ONCE_INIT;

static void *open_first(const char *const *names, size_t count) {
  void *library = NULL;
  for (size_t i = 0; i < count && !library; i++) library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
  return library;
}

static bool find(void *library, const char *name, void *function) {
  void *address = library ? dlsym(library, name) : NULL;
  memcpy(function, &address, sizeof address);
  return address != NULL;
}

static void load_jpeg(void) {
  static const char *const names[] = {
      "libturbojpeg.so.0", "libturbojpeg.so", "libturbojpeg.0.dylib", "libturbojpeg.dylib"};
  void *library = open_first(names, sizeof names / sizeof names[0]);
  has_jpeg = find(library, "tjInitDecompress", &jpeg.open) &&
             find(library, "tjDecompressHeader3", &jpeg.header) &&
             find(library, "tjDecompress2", &jpeg.decode) &&
             find(library, "tjGetErrorStr2", &jpeg.error_text) &&
             find(library, "tjDestroy", &jpeg.close);
}

static void load_webp(void) {
  static const char *const names[] = {
      "libwebp.so.7", "libwebp.so.6", "libwebp.so", "libwebp.7.dylib", "libwebp.dylib"};
  void *library = open_first(names, sizeof names / sizeof names[0]);
  has_webp = find(library, "WebPGetInfo", &webp.size) &&
             find(library, "WebPDecodeRGBInto", &webp.decode);
}

static bool needs_jpeg(void) {
  pthread_once(&jpeg_once, load_jpeg);
  return has_jpeg;
}

static bool needs_webp(void) {
  pthread_once(&webp_once, load_webp);
  return has_webp;
}

/* Cameras leave bytes between parts, of which the library warns; all else that it says is of half
 * a picture. Its code can't tell: an error after a warning still counts as a warning. */
static bool is_whole(tjhandle handle) {
  return strstr(jpeg.error_text(handle), "extraneous bytes") != NULL;
}

int qlora_jpeg_size(const uint8_t *bytes, size_t count, int *width, int *height) {
  if (!needs_jpeg()) return QLORA_PICTURE_NO_LIBRARY;
  tjhandle handle = jpeg.open();
  if (!handle) return QLORA_PICTURE_DAMAGED;
  int sampling = 0, colors = 0;
  const int failed =
      jpeg.header(handle, bytes, (unsigned long)count, width, height, &sampling, &colors);
  int state = failed && !is_whole(handle) ? QLORA_PICTURE_DAMAGED : QLORA_PICTURE_READ;
  if (!state && (colors == tj_colors_cmyk || colors == tj_colors_ycck)) {
    state = QLORA_PICTURE_IS_CMYK;
  }
  jpeg.close(handle);
  return state;
}

int qlora_jpeg_pixels(const uint8_t *bytes, size_t count, int width, int height, uint8_t *out) {
  if (!needs_jpeg()) return QLORA_PICTURE_NO_LIBRARY;
  tjhandle handle = jpeg.open();
  if (!handle) return QLORA_PICTURE_DAMAGED;
  const int failed = jpeg.decode(handle, bytes, (unsigned long)count, out, width, 3 * width,
                                 height, tj_pixels_rgb, tj_limit_scans);
  const int state = failed && !is_whole(handle) ? QLORA_PICTURE_DAMAGED : QLORA_PICTURE_READ;
  jpeg.close(handle);
  return state;
}

int qlora_webp_size(const uint8_t *bytes, size_t count, int *width, int *height) {
  if (!needs_webp()) return QLORA_PICTURE_NO_LIBRARY;
  return webp.size(bytes, count, width, height) ? QLORA_PICTURE_READ : QLORA_PICTURE_DAMAGED;
}

int qlora_webp_pixels(const uint8_t *bytes, size_t count, int width, int height, uint8_t *out) {
  if (!needs_webp()) return QLORA_PICTURE_NO_LIBRARY;
  const size_t size = (size_t)width * (size_t)height * 3;
  return webp.decode(bytes, count, out, size, 3 * width) ? QLORA_PICTURE_READ
                                                         : QLORA_PICTURE_DAMAGED;
}
