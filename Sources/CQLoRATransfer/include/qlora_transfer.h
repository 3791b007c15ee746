/* One HTTP request at a time by libcurl, which is loaded when it is first needed: commands that
 * download nothing start without it. Redirects, credentials and retries are the caller's. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A handle of libcurl; keeps connections open between requests. One thread at a time. */
typedef struct qlora_transfer qlora_transfer;

typedef struct {
  /* http or https; anything else fails. */
  const char *url;
  /* `Name: value`, each terminated. */
  const char *const *headers;
  size_t header_count;
  /* A file of certificates to trust instead of the system's, or NULL. */
  const char *certificates;
  /* Whether only the head of the answer is wanted. */
  bool is_head;
  /* Whether proxies of the environment are passed by. */
  bool is_direct;
  int64_t connect_milliseconds;
  /* Of the whole request; 0 for no bound. */
  int64_t total_milliseconds;
  /* Ends a request that brings less than this many bytes a second for so many seconds. */
  int64_t slow_bytes;
  int64_t slow_seconds;
  /* Called for each line of the head, and for pieces of the body; false ends the request. */
  bool (*on_header)(const char *line, size_t count, void *context);
  bool (*on_body)(const void *bytes, size_t count, void *context);
  /* Asked about once a second; true ends the request. */
  bool (*is_cancelled)(void *context);
  void *context;
} qlora_transfer_request;

/* The version of libcurl; NULL where there is none. */
const char *qlora_transfer_version(void);

/* NULL where there is no libcurl, or no memory. */
qlora_transfer *qlora_transfer_open(void);
void qlora_transfer_close(qlora_transfer *transfer);

/* Returns the error number of libcurl, 0 for success whatever the server's status; `message` gets
 * what libcurl says of an error, always terminated. */
int32_t qlora_transfer_perform(
    qlora_transfer *transfer, const qlora_transfer_request *request, char *message,
    size_t capacity);
