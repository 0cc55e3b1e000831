// The classifier built for one instruction set; CMake gives this file its own flags.
#include <cmath>
#include <cstring>

#include "kernels.hpp"

namespace thinfer::avx512 {
namespace {
#include "simd_avx512.hpp"

#include "encoder.inl"
#include "peak.inl"
}  // namespace

extern const Kernels kernels;
const Kernels kernels{"avx512", &run, &multiply_alone, &measure_peak, kHasTiles};

}  // namespace thinfer::avx512
