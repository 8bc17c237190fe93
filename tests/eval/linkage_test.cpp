// faiss links LAPACK, and so a BLAS with an sgemm_ of its own; the one in use must stay torch's, or
// every product of the training would silently run on another library.
#include <string>
#include <vector>

#include <dlfcn.h>
#include <faiss/IndexFlat.h>
#include <gtest/gtest.h>

extern "C" void sgemm_();  // only its address is of interest

namespace {

std::string library_of(const void* address) {
  Dl_info info{};
  return dladdr(address, &info) && info.dli_fname ? info.dli_fname : "";
}

TEST(Linkage, TheLoaderGivesTorchsSgemm) {
  const void* found = dlsym(RTLD_DEFAULT, "sgemm_");
  ASSERT_NE(found, nullptr);
  EXPECT_NE(library_of(found).find("libtorch_cpu.so"), std::string::npos) << library_of(found);
  EXPECT_EQ(reinterpret_cast<const void*>(&sgemm_), found);
}

TEST(Linkage, FaissMultipliesRightWithIt) {
  faiss::IndexFlatIP index(3);
  const std::vector<float> base{1, 0, 0, 0, 2, 0, 0, 0, 3};
  index.add(3, base.data());
  const int64_t queries = 64;  // enough for faiss to take its matrix product
  const std::vector<float> rows(3 * queries, 1.0f);
  std::vector<float> best(queries);
  std::vector<faiss::Index::idx_t> place(queries);
  index.search(queries, rows.data(), 1, best.data(), place.data());
  for (int64_t i = 0; i < queries; ++i) {
    EXPECT_EQ(best[i], 3.0f);
    EXPECT_EQ(place[i], 2);
  }
}

}  // namespace
