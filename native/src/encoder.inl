// The whole classifier for one instruction set. Included once by each `isa_*.cpp`, inside a
// namespace of its own, after `Simd` has been defined; nothing here is visible outside.
//
// A text's logits do not depend on the texts beside it: sums of codes are exact, everything else
// is computed a row at a time, and the tail of a row takes the same steps as its middle.

using Real = Simd::Real;
constexpr std::size_t kWidth = Simd::kWidth;
static_assert(Simd::kRows <= kMostRows && kPanel % (Simd::kVectors * kWidth) == 0);

struct Range {
    std::size_t begin, end;
};

inline std::size_t at_most(std::size_t count, std::size_t most) { return count < most ? count : most; }

inline Range share(std::size_t count, const Team& team, std::size_t rank) {
    return {count * rank / team.size(), count * (rank + 1) / team.size()};
}

// Calls `step(column, lanes)` over `n` columns, whole registers first.
template <class Step>
inline void over_columns(std::size_t n, Step step) {
    std::size_t at = 0;
    for (; at + kWidth <= n; at += kWidth) step(at, kWidth);
    if (at < n) step(at, n - at);
}

// A sum over `n` columns; `step(column, lanes, sum)` adds some. Four sums at once: one alone would wait for itself.
template <class Step>
inline Real sum_columns(std::size_t n, Step step) {
    Real sums[4] = {Simd::set(0.0F), Simd::set(0.0F), Simd::set(0.0F), Simd::set(0.0F)};
    std::size_t at = 0;
    for (; at + 4 * kWidth <= n; at += 4 * kWidth) {
#pragma GCC unroll 4
        for (std::size_t which = 0; which < 4; ++which) sums[which] = step(at + which * kWidth, kWidth, sums[which]);
    }
    for (; at + kWidth <= n; at += kWidth) sums[0] = step(at, kWidth, sums[0]);
    if (at < n) sums[1] = step(at, n - at, sums[1]);
    return Simd::add(Simd::add(sums[0], sums[1]), Simd::add(sums[2], sums[3]));
}

#ifdef THINFER_TILES
constexpr bool kHasTiles = true;
#else
constexpr bool kHasTiles = false;
#endif

// Inputs of products lie in pieces of 64 bytes: a row's one after another, or, for a tile unit, the
// same piece of 32 rows together, so that what it loads next is what lies next in memory.
constexpr std::size_t kBlockRows = kHasTiles ? 32 : 1;
constexpr std::size_t kPieceStride = kBlockRows * kCodes;  // bytes from a row's piece to its next

// Where the first piece of a row lies.
inline std::size_t row_place(std::size_t row, std::size_t row_bytes) {
    return row / kBlockRows * kBlockRows * row_bytes + row % kBlockRows * kCodes;
}
// Where one of its bytes lies, from there.
inline std::size_t byte_place(std::size_t at) { return at / kCodes * kPieceStride + at % kCodes; }

#include "math.inl"
#include "products.inl"
#include "rows.inl"
#include "attention.inl"
#ifdef THINFER_TILES
#include "tile_attention.inl"
#endif
#include "shelves.inl"
#include "runner.inl"
