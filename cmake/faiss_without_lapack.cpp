// The LAPACK and BLAS functions that faiss's archive names and libtorch_cpu does not export. They
// belong to training of PCA, OPQ, ITQ and additive quantisers (VectorTransform.cpp and others),
// which cltrain never asks for; faiss's reader and writer of indexes names those classes, so the
// linker wants the functions. A second BLAS in the process would be worse: it brings an sgemm_ of
// its own. Everything that cltrain does call (sgemm_, ...) is torch's. Linked after libfaiss.a; a
// call ends in an exception that names the function.
#include <stdexcept>
#include <string>

namespace {

[[noreturn]] void refuse(const char* name) {
  throw std::logic_error(std::string("faiss called ") + name +
                         ", which this program is linked without: PCA, OPQ, ITQ and additive "
                         "quantisers cannot be trained here (cmake/faiss_without_lapack.cpp)");
}

}  // namespace

// Fortran passes pointers in registers, so that functions without parameters take any call.
#define CLTRAIN_NOT_LINKED(name)                                \
  extern "C" __attribute__((visibility("hidden"))) int name();  \
  extern "C" __attribute__((visibility("hidden"))) int name() { \
    refuse(#name);                                              \
  }

CLTRAIN_NOT_LINKED(dgesvd_)
CLTRAIN_NOT_LINKED(dgetri_)
CLTRAIN_NOT_LINKED(dsyev_)
CLTRAIN_NOT_LINKED(sgesvd_)
CLTRAIN_NOT_LINKED(sgetri_)
CLTRAIN_NOT_LINKED(ssyrk_)
