// Which matrices are multiplied without their zeros: found by counting, decided by timing.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "kernels.hpp"

namespace thinfer {

struct SparseChoice {
    std::string matrix;  // `layers.0.up`
    double zeros;        // share of its 1 × 4 blocks, or of its tiles where there is a tile unit
    double gain;         // time of the dense product over that of the sparse one, here and now
    bool is_taken;
};

// What matrices without their zeros point to.
struct ZeroStore {
    std::deque<Blocks> blocks;
    std::deque<TileSteps> tiles;
};

// Sets `Matrix::blocks` or `Matrix::tiles` where skipping zeros is faster with these kernels on this processor; `store`
// owns what they point to. The answers do not depend on it: sums of codes are exact either way. The variable
// `THINFER_SPARSE` may say `always` (timed or not) or `never`.
std::vector<SparseChoice> choose_sparse(Model& model, const Kernels& kernels, ZeroStore& store);

}  // namespace thinfer
