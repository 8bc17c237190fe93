// What a call that must fail says.
#pragma once

#include <string>

#include <c10/util/Exception.h>

namespace cltrain::testing {

/// The text of the c10::Error that `call` throws, or "nothing thrown".
template <class Call>
std::string error_text(const Call& call) {
  try {
    call();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "nothing thrown";
}

}  // namespace cltrain::testing
