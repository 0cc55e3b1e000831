// The classifier built for one instruction set; CMake gives this file its own flags.
#include <cmath>
#include <cstring>

#include "kernels.hpp"

namespace thinfer::dotprod {
namespace {
#include "simd_neon.hpp"

#include "encoder.inl"
#include "peak.inl"
}  // namespace

extern const Kernels kernels;
const Kernels kernels{"dotprod", &run, &multiply_alone, &measure_peak, kHasTiles};

}  // namespace thinfer::dotprod
