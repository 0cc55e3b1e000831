// The classifier built for one instruction set; CMake gives this file its own flags.
#include <cmath>
#include <cstring>

#include "kernels.hpp"

namespace thinfer::scalar {
namespace {
#include "simd_scalar.hpp"

#include "encoder.inl"
}  // namespace

extern const Kernels kernels;
const Kernels kernels{"scalar", &run, &multiply_alone, nullptr, kHasTiles};

}  // namespace thinfer::scalar
