/* Oniguruma as pkg-config finds it. Two of its names are out of Swift's reach: a variable of C that
   nothing guards, and a function with variable arguments. */
#pragma once
#include <oniguruma.h>

static inline int qlora_onig_initialize(void) {
  OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
  return onig_initialize(encodings, 1);
}

/* A pattern in UTF-8 as Python's re writes it. Returns ONIG_NORMAL, or a negative code of which
   `message`, of ONIG_MAX_ERROR_MESSAGE_LEN bytes, says what it means. */
static inline int qlora_onig_compile(
    OnigRegex *regex, const OnigUChar *pattern, const OnigUChar *end, OnigUChar *message) {
  OnigErrorInfo information;
  int code = onig_new(regex, pattern, end, ONIG_OPTION_NONE, ONIG_ENCODING_UTF8,
                      ONIG_SYNTAX_PYTHON, &information);
  if (code != ONIG_NORMAL) onig_error_code_to_str(message, code, &information);
  return code;
}

/* A pattern in UTF-8 in Oniguruma's own syntax, else as above. */
static inline int qlora_onig_compile_native(
    OnigRegex *regex, const OnigUChar *pattern, const OnigUChar *end, OnigUChar *message) {
  OnigErrorInfo information;
  int code = onig_new(regex, pattern, end, ONIG_OPTION_NONE, ONIG_ENCODING_UTF8,
                      ONIG_SYNTAX_ONIGURUMA, &information);
  if (code != ONIG_NORMAL) onig_error_code_to_str(message, code, &information);
  return code;
}
