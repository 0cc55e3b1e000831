// The classifier built for one instruction set; CMake gives this file its own flags.
#include <cmath>
#include <cstring>

#include "kernels.hpp"

namespace thinfer::avx2 {
namespace {
#include "simd_avx2.hpp"

#include "encoder.inl"
#include "peak.inl"
}  // namespace

extern const Kernels kernels;
const Kernels kernels{"avx2", &run, &multiply_alone, &measure_peak, kHasTiles};

}  // namespace thinfer::avx2
