// For the tests of sequences: text files, and the real sets where they are found.
#pragma once

#include "tests/data/test_files.h"
#include "tests/support/sequence_lists.h"

#include <iostream>
#include <string>
#include <vector>

namespace cltrain::testing {

inline std::filesystem::path write_text(const TemporaryFolder& folder, const std::string& text,
                                        const std::string& name = "set.txt") {
  write(folder / name, Bytes(text.begin(), text.end()));
  return folder / name;
}

class RealSequences : public ::testing::Test {
 public:
  explicit RealSequences(void (*check)(const std::string&)) : check_(check) {}
  void TestBody() override { check_(folder()); }
  static std::string folder() { return std::string(CLTRAIN_SHARED_DATA) + "/seqrec"; }

 private:
  void (*check_)(const std::string&);
};

/// Registers RealSets.<name>, which gets the folder of the real text files; on a machine without
/// them there is no such test, and that is said.
inline bool add_real_sequences(const char* name, void (*check)(const std::string&)) {
  if (!*CLTRAIN_SHARED_DATA || !std::filesystem::exists(RealSequences::folder())) {
    std::cerr << "RealSets." << name << " is not among the tests: no seqrec in "
              << "CLTRAIN_SHARED_DATA\n";
    return false;
  }
  ::testing::RegisterTest("RealSets", name, nullptr, nullptr, __FILE__, __LINE__,
                          [check]() -> ::testing::Test* { return new RealSequences(check); });
  return true;
}

}  // namespace cltrain::testing
