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

#include "math.inl"
#include "products.inl"
#include "rows.inl"
#include "attention.inl"
#include "runner.inl"
