#include "sparsity.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

namespace thinfer {

namespace {

constexpr double kLeastZeros = 0.5;  // with fewer no set of kernels gains
constexpr double kLeastGain = 1.1;
constexpr std::size_t kTokens = 64, kRepeats = 3;
constexpr std::size_t kTileSteps = kCodes / kGroup;  // groups of inputs in a tile
constexpr const char* kNames[] = {"query_key_value", "output", "up", "down"};

const std::int8_t* block_at(const Matrix& matrix, std::size_t channel, std::size_t group) {
    const std::size_t panel = channel / kPanel * matrix.groups() + group;
    return matrix.i8 + (panel * kPanel + channel % kPanel) * kGroup;
}

bool is_zero(const std::int8_t* block) {
    std::int32_t four;
    std::memcpy(&four, block, sizeof four);
    return four == 0;
}

// Of the first panel alone: most models have no zeros, and reading all of one would cost its start.
double glance_at_zeros(const Matrix& matrix) {
    std::size_t zeros = 0;
    const std::size_t channels = std::min(matrix.out, kPanel);
    for (std::size_t group = 0; group < matrix.groups(); ++group) {
        for (std::size_t channel = 0; channel < channels; ++channel) zeros += is_zero(block_at(matrix, channel, group));
    }
    return static_cast<double>(zeros) / static_cast<double>(channels * matrix.groups());
}

Blocks collect(const Matrix& matrix) {
    Blocks blocks;
    blocks.starts.push_back(0);
    for (std::size_t channel = 0; channel < matrix.panels() * kPanel; ++channel) {
        for (std::size_t group = 0; group < matrix.groups(); ++group) {
            const std::int8_t* block = block_at(matrix, channel, group);
            if (is_zero(block)) continue;
            blocks.groups.push_back(static_cast<std::uint16_t>(group));
            blocks.codes.insert(blocks.codes.end(), block, block + kGroup);
        }
        blocks.starts.push_back(static_cast<std::uint32_t>(blocks.groups.size()));
    }
    return blocks;
}

bool is_zero_tile(const Matrix& matrix, std::size_t panel, std::size_t step, std::size_t side) {
    const std::size_t first = step * kTileSteps, end = std::min(first + kTileSteps, matrix.groups());
    for (std::size_t group = first; group < end; ++group) {
        const std::int8_t* row = block_at(matrix, panel * kPanel, group) + side * kPanel / 2 * kGroup;
        for (std::size_t at = 0; at < kPanel / 2 * kGroup; ++at) {
            if (row[at] != 0) return false;
        }
    }
    return true;
}

TileSteps collect_tiles(const Matrix& matrix, std::size_t& zeros) {
    TileSteps tiles;
    tiles.starts.push_back(0);
    zeros = 0;
    for (std::size_t panel = 0; panel < matrix.panels(); ++panel) {
        for (std::size_t step = 0; step * kTileSteps < matrix.groups(); ++step) {
            const bool has_left = !is_zero_tile(matrix, panel, step, 0), has_right = !is_zero_tile(matrix, panel, step, 1);
            zeros += 2U - has_left - has_right;
            if (has_left || has_right) tiles.steps.push_back(static_cast<std::uint16_t>(4 * step + has_left + 2 * has_right));
        }
        tiles.starts.push_back(static_cast<std::uint32_t>(tiles.steps.size()));
    }
    return tiles;
}

// Time of the dense product over that of the sparse one.
double measure_gain(const Matrix& dense, const Matrix& sparse, const Kernels& kernels) {
    Scratch scratch;
    const std::size_t bytes = (kTokens + kSpareRows) * dense.row_bytes();
    auto* codes = scratch.take<std::uint8_t>(bytes);
    for (std::size_t at = 0; at < bytes; ++at) codes[at] = static_cast<std::uint8_t>(at * 167 + at / 251);
    auto* rounding = scratch.take<Rounding>(kTokens);
    std::fill_n(rounding, kTokens, Rounding{1.0F, 128.0F});
    auto* target = scratch.take<float>(kTokens * dense.panels() * kPanel);
    auto* packed = scratch.take<std::uint8_t>(packed_bytes(dense.groups()));
    const auto time = [&](const Matrix& matrix) {
        const auto start = std::chrono::steady_clock::now();
        kernels.multiply(matrix, codes, rounding, kTokens, packed, target);
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    double with = time(sparse), without = time(dense);
    for (std::size_t at = 0; at < kRepeats; ++at) {
        without = std::min(without, time(dense));
        with = std::min(with, time(sparse));
    }
    return without / std::max(with, 1e-9);
}

}  // namespace

std::vector<SparseChoice> choose_sparse(Model& model, const Kernels& kernels, ZeroStore& store) {
    std::vector<SparseChoice> choices;
    const char* wish = std::getenv("THINFER_SPARSE");
    if (wish != nullptr && std::strcmp(wish, "never") == 0) return choices;
    const bool is_forced = wish != nullptr && std::strcmp(wish, "always") == 0;
    for (std::size_t layer = 0; layer < model.layers.size(); ++layer) {
        const auto matrices = model.layers[layer].matrices();
        for (std::size_t at = 0; at < matrices.size(); ++at) {
            Matrix& matrix = *matrices[at];
            if (matrix.i8 == nullptr || glance_at_zeros(matrix) < kLeastZeros) continue;
            Matrix sparse = matrix;
            std::size_t zeros = 0, all = 0;
            if (kernels.has_tiles) {
                sparse.tiles = &store.tiles.emplace_back(collect_tiles(matrix, zeros));
                all = 2 * matrix.panels() * (round_up(matrix.groups(), kTileSteps) / kTileSteps);
            } else {
                sparse.blocks = &store.blocks.emplace_back(collect(matrix));
                all = matrix.panels() * kPanel * matrix.groups();
                zeros = all - sparse.blocks->groups.size();
            }
            const double share = static_cast<double>(zeros) / static_cast<double>(all);
            if (share < kLeastZeros) continue;
            const double gain = measure_gain(matrix, sparse, kernels);
            const bool is_taken = is_forced || gain >= kLeastGain;
            choices.push_back({"layers." + std::to_string(layer) + "." + kNames[at], share, gain, is_taken});
            if (is_taken) matrix = sparse;
        }
    }
    return choices;
}

}  // namespace thinfer
