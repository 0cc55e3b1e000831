// The classifier built for one instruction set; CMake gives this file its own flags.
#include <bit>
#include <cmath>
#include <cstring>

#include "kernels.hpp"

namespace thinfer::amx {
namespace {
#define THINFER_TILES
#include "simd_avx512.hpp"
#include "tiles_amx.hpp"
#include "encoder.inl"
}  // namespace

extern const Kernels kernels;
const Kernels kernels{"amx", &run, &multiply_alone, &measure_tile_peak, kHasTiles};

bool is_sound() { return are_tiles_sound(); }

}  // namespace thinfer::amx
