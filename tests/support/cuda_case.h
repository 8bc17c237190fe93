// Tests that are there only where a GPU is: registered when the program starts, not declared.
#pragma once

#include <gtest/gtest.h>

namespace cltrain::testing {

class CudaCase : public ::testing::Test {
 public:
  explicit CudaCase(void (*body)()) : body_(body) {}
  void TestBody() override { body_(); }

 private:
  void (*body_)();
};

inline void add_cuda_case(const char* suite, const char* name, void (*body)()) {
  ::testing::RegisterTest(suite, name, nullptr, nullptr, __FILE__, __LINE__,
                          [body]() -> CudaCase* { return new CudaCase(body); });
}

}  // namespace cltrain::testing
