// What a weight file holds, as views into it: nothing is copied and nothing is repacked.
//
// Matrices lie in panels of 32 output channels. Inside a panel the inputs come in groups of `G`
// (4 for INT8, 2 for BF16, 1 for FP32): [inputs / G][32][G]. VNNI, AVX-VNNI and NEON dot products read such a
// group a lane, and an AMX tile reads 16 lanes of it a row, so one layout serves all of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace thinfer {

constexpr std::size_t kPanel = 32;  // output channels of a panel
constexpr std::size_t kGroup = 4;   // inputs of an INT8 group
constexpr std::size_t kPair = 2;    // inputs of a BF16 group
constexpr std::size_t kCodes = 64;  // bytes: what a tile unit reads of a row at a time

enum class Kind : std::uint32_t { fp32 = 0, int8 = 1, bf16 = 2 };

enum class Activation : std::uint32_t { gelu = 0, gelu_tanh = 1, relu = 2, tanh = 3, silu = 4 };

constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

// The 1 × 4 blocks of a matrix that are not zero, one output channel after another.
struct Blocks {
    std::vector<std::uint32_t> starts;  // [out padded + 1]
    std::vector<std::uint16_t> groups;  // [blocks], which four inputs
    std::vector<std::int8_t> codes;     // [blocks, 4]
};

// The tiles of a matrix, 64 inputs by 16 output channels, that are not zero, one panel after another.
struct TileSteps {
    std::vector<std::uint32_t> starts;  // [panels + 1]
    std::vector<std::uint16_t> steps;   // 4 times which 64 inputs, plus 1 for the panel's left tile and 2 for its right one
};

// y = W x + b, W [out, in].
struct Matrix {
    std::size_t out = 0;
    std::size_t in = 0;
    const float* f32 = nullptr;           // FP32 panels
    const std::int8_t* i8 = nullptr;      // INT8 panels
    const std::uint16_t* b16 = nullptr;   // BF16 panels
    const Blocks* blocks = nullptr;       // of the INT8 panels, where products with them are faster
    const TileSteps* tiles = nullptr;     // the same for a tile unit
    const float* scale = nullptr;         // [out padded], of each output channel's codes
    const std::int32_t* sums = nullptr;   // [out padded], sum of each output channel's codes
    const float* smoothing = nullptr;     // [in padded], multiplies the input before rounding
    const float* bias = nullptr;          // [out padded]

    std::size_t panels() const { return round_up(out, kPanel) / kPanel; }
    std::size_t groups() const { return round_up(in, kGroup) / kGroup; }
    std::size_t pairs() const { return round_up(in, kPair) / kPair; }
    bool is_rounded() const { return i8 != nullptr || b16 != nullptr; }  // so are its inputs
    // Of one row of rounded inputs, filled up with zeros.
    std::size_t row_bytes() const { return round_up(b16 != nullptr ? 2 * in : in, kCodes); }
};

struct Norm {
    const float* weight = nullptr;  // [hidden]
    const float* bias = nullptr;
};

struct Layer {
    std::size_t heads = 0, qk_size = 0, value_size = 0, ffn = 0;
    Kind attention = Kind::fp32, ffn_kind = Kind::fp32;
    Matrix query_key_value;  // rows: queries, keys, values, each padded to a whole panel
    Matrix output;           // without heads: a bias alone (in = 0)
    Norm attention_norm;
    Matrix up;
    Matrix down;             // without neurons: a bias alone
    Norm ffn_norm;

    std::array<const Matrix*, 4> matrices() const { return {&query_key_value, &output, &up, &down}; }
    std::array<Matrix*, 4> matrices() { return {&query_key_value, &output, &up, &down}; }
    std::size_t queries() const { return heads * qk_size; }
    std::size_t values() const { return heads * value_size; }
    std::size_t key_at() const { return round_up(queries(), kPanel); }
    std::size_t value_at() const { return 2 * key_at(); }
    std::size_t row() const { return value_at() + round_up(values(), kPanel); }
};

struct Model {
    Kind pooler_kind = Kind::fp32;
    Activation activation = Activation::gelu;
    std::size_t hidden = 0, vocab = 0, positions = 0, types = 0, classes = 0;
    float epsilon = 0.0F;
    const float* word_f32 = nullptr;         // [vocab, hidden]
    const std::uint16_t* word_b16 = nullptr; // [vocab, hidden]
    const std::int8_t* word_i8 = nullptr;    // [vocab, hidden]
    const float* word_scale = nullptr;       // [vocab]
    const float* position = nullptr;         // [positions, hidden]; row 0 is the first token's
    const float* type = nullptr;             // [types, hidden], task row added; at least one row
    Norm embedding_norm;
    std::vector<Layer> layers;
    Matrix pooler;
    Matrix head;  // always FP32
};

}  // namespace thinfer
