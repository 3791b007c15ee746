// The functions of libcurl that a request takes, found by name in the library that the system has.
// Numbers of options are part of libcurl's binary interface and never change. See qlora_transfer.h.
#define _GNU_SOURCE
#include "qlora_transfer.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void CURL;
typedef int CURLcode;
struct curl_slist;

enum {
  global_all = 3,
  error_text_bytes = 256,
  read_bytes = 1 << 18,
  protocols_http_and_https = 1 | 2,
};

enum option {
  option_buffersize = 98,
  option_cainfo = 10065,
  option_connecttimeout_ms = 156,
  option_errorbuffer = 10010,
  option_followlocation = 52,
  option_headerdata = 10029,
  option_headerfunction = 20079,
  option_httpheader = 10023,
  option_low_speed_limit = 19,
  option_low_speed_time = 20,
  option_nobody = 44,
  option_noprogress = 43,
  option_nosignal = 99,
  option_protocols = 181,
  option_proxy = 10004,
  option_timeout_ms = 155,
  option_url = 10002,
  option_writedata = 10001,
  option_writefunction = 20011,
  option_xferinfodata = 10057,
  option_xferinfofunction = 20219,
};

static struct {
  CURLcode (*global_init)(long flags);
  CURL *(*easy_init)(void);
  CURLcode (*easy_setopt)(CURL *handle, int option, ...);
  CURLcode (*easy_perform)(CURL *handle);
  void (*easy_reset)(CURL *handle);
  void (*easy_cleanup)(CURL *handle);
  const char *(*easy_strerror)(CURLcode code);
  struct curl_slist *(*slist_append)(struct curl_slist *list, const char *text);
  void (*slist_free_all)(struct curl_slist *list);
  char *(*version)(void);
} curl;

static bool is_loaded;
static pthread_once_t load_once = PTHREAD_ONCE_INIT;

static bool find(void *library, const char *name, void *function) {
  void *address = dlsym(library, name);
  memcpy(function, &address, sizeof address);
  return address != NULL;
}

static void load(void) {
  static const char *const names[] = {
      "libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.so", "libcurl.4.dylib",
  };
  void *library = NULL;
  for (size_t i = 0; i < sizeof names / sizeof names[0] && !library; i++) {
    library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
  }
  if (!library) return;
  is_loaded = find(library, "curl_global_init", &curl.global_init) &&
              find(library, "curl_easy_init", &curl.easy_init) &&
              find(library, "curl_easy_setopt", &curl.easy_setopt) &&
              find(library, "curl_easy_perform", &curl.easy_perform) &&
              find(library, "curl_easy_reset", &curl.easy_reset) &&
              find(library, "curl_easy_cleanup", &curl.easy_cleanup) &&
              find(library, "curl_easy_strerror", &curl.easy_strerror) &&
              find(library, "curl_slist_append", &curl.slist_append) &&
              find(library, "curl_slist_free_all", &curl.slist_free_all) &&
              find(library, "curl_version", &curl.version) && curl.global_init(global_all) == 0;
}

const char *qlora_transfer_version(void) {
  pthread_once(&load_once, load);
  return is_loaded ? curl.version() : NULL;
}

qlora_transfer *qlora_transfer_open(void) {
  pthread_once(&load_once, load);
  return is_loaded ? (qlora_transfer *)curl.easy_init() : NULL;
}

void qlora_transfer_close(qlora_transfer *transfer) { curl.easy_cleanup(transfer); }

static size_t on_header(char *bytes, size_t size, size_t count, void *data) {
  const qlora_transfer_request *request = data;
  return request->on_header(bytes, size * count, request->context) ? size * count : 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *data) {
  const qlora_transfer_request *request = data;
  // An empty piece is no refusal.
  if (size * count == 0) return 0;
  return request->on_body(bytes, size * count, request->context) ? size * count : 0;
}

static int on_progress(void *data, int64_t a, int64_t b, int64_t c, int64_t d) {
  (void)a, (void)b, (void)c, (void)d;
  const qlora_transfer_request *request = data;
  return request->is_cancelled(request->context) ? 1 : 0;
}

static CURLcode prepare(
    CURL *handle, const qlora_transfer_request *request, struct curl_slist *headers,
    char *message) {
  const struct {
    enum option option;
    long value;
  } numbers[] = {
      {option_nosignal, 1},
      {option_noprogress, 0},
      {option_followlocation, 0},
      {option_protocols, protocols_http_and_https},
      {option_buffersize, read_bytes},
      {option_nobody, request->is_head ? 1 : 0},
      {option_connecttimeout_ms, (long)request->connect_milliseconds},
      {option_timeout_ms, (long)request->total_milliseconds},
      {option_low_speed_limit, (long)request->slow_bytes},
      {option_low_speed_time, (long)request->slow_seconds},
  };
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    CURLcode code = curl.easy_setopt(handle, numbers[i].option, numbers[i].value);
    // A handle that kept its buffer after a failed lookup takes no size for it, and needs none:
    // older libraries say so here.
    if (code != 0 && numbers[i].option != option_buffersize) return code;
  }
  const struct {
    enum option option;
    const void *value;
  } pointers[] = {
      {option_url, request->url},        {option_httpheader, headers},
      {option_headerdata, request},      {option_writedata, request},
      {option_xferinfodata, request},    {option_errorbuffer, message},
  };
  for (size_t i = 0; i < sizeof pointers / sizeof pointers[0]; i++) {
    CURLcode code = curl.easy_setopt(handle, pointers[i].option, pointers[i].value);
    if (code != 0) return code;
  }
  CURLcode code = curl.easy_setopt(handle, option_headerfunction, on_header);
  if (code == 0) code = curl.easy_setopt(handle, option_writefunction, on_body);
  if (code == 0) code = curl.easy_setopt(handle, option_xferinfofunction, on_progress);
  if (code == 0 && request->is_direct) code = curl.easy_setopt(handle, option_proxy, "");
  if (code == 0 && request->certificates) {
    code = curl.easy_setopt(handle, option_cainfo, request->certificates);
  }
  return code;
}

int32_t qlora_transfer_perform(
    qlora_transfer *transfer, const qlora_transfer_request *request, char *message,
    size_t capacity) {
  CURL *handle = transfer;
  char text[error_text_bytes] = {0};
  struct curl_slist *headers = NULL;
  curl.easy_reset(handle);
  for (size_t i = 0; i < request->header_count; i++) {
    struct curl_slist *longer = curl.slist_append(headers, request->headers[i]);
    if (longer) headers = longer;
  }
  CURLcode code = prepare(handle, request, headers, text);
  if (code == 0) code = curl.easy_perform(handle);
  if (capacity > 0) {
    const char *said = code == 0 ? "" : text[0] ? text : curl.easy_strerror(code);
    snprintf(message, capacity, "%s", said);
  }
  // The handle outlives `text` and `request`.
  curl.easy_reset(handle);
  curl.slist_free_all(headers);
  return code;
}
