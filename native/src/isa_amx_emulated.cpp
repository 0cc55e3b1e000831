// For tests: the classifier for the tile unit, with the unit in plain C++.
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels.hpp"

namespace thinfer::amx_emulated {
namespace {
#define THINFER_TILES
#include "simd_avx512.hpp"
#include "tiles_emulated.hpp"
#include "encoder.inl"
}  // namespace

extern const Kernels kernels;
const Kernels kernels{"amx-emulated", &run, &multiply_alone, nullptr, kHasTiles};

}  // namespace thinfer::amx_emulated
