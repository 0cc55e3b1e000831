// Products of rows with a matrix in panels: a tile's sums in registers, then its epilogue.

// Rows that enter a product: floats, or codes with a rounding each, or BF16 in the codes' place.
struct Rows {
    const float* reals = nullptr;
    std::size_t stride = 0;  // of `reals`
    const std::uint8_t* codes = nullptr;
    std::size_t code_stride = 0;  // in bytes
    const Rounding* rounding = nullptr;
    std::size_t count = 0;
};

// The sums of one tile of R rows, [R, vectors, lanes]. They leave the registers only once, at the
// end and by constant indices: where the code that uses them stands in the same function, gcc 12
// keeps a copy of each on the stack inside the loop, at less than half the speed.
template <std::size_t R>
[[gnu::noinline]] void sum_int8(const std::uint8_t* codes, std::size_t stride, const std::int8_t* weights,
                                std::size_t groups, Simd::Int* target) {
    constexpr std::size_t V = Simd::kVectors;
    Simd::Int sums[R][V];
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) sums[r][v] = Simd::zero();
    for (std::size_t g = 0; g < groups; ++g, weights += kPanel * kGroup, codes += kGroup) {
        decltype(Simd::load_codes(weights)) wide[V];
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) wide[v] = Simd::load_codes(weights + v * kWidth * kGroup);
#pragma GCC unroll 16
        for (std::size_t r = 0; r < R; ++r) {
            const auto input = Simd::spread(codes + r * stride);
#pragma GCC unroll 16
            for (std::size_t v = 0; v < V; ++v) sums[r][v] = Simd::dot(sums[r][v], input, wide[v]);
        }
    }
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) target[r * V + v] = sums[r][v];
}

template <std::size_t R>
[[gnu::noinline]] void sum_fp32(const float* inputs, std::size_t stride, const float* weights,
                                std::size_t weight_stride, std::size_t count, Real* target) {
    constexpr std::size_t V = Simd::kVectors;
    Real sums[R][V];
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) sums[r][v] = Simd::set(0.0F);
    for (std::size_t i = 0; i < count; ++i, weights += weight_stride, ++inputs) {
        Real wide[V];
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) wide[v] = Simd::load(weights + v * kWidth);
#pragma GCC unroll 16
        for (std::size_t r = 0; r < R; ++r) {
            const Real input = Simd::set(inputs[r * stride]);
#pragma GCC unroll 16
            for (std::size_t v = 0; v < V; ++v) sums[r][v] = Simd::fma(input, wide[v], sums[r][v]);
        }
    }
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) target[r * V + v] = sums[r][v];
}

template <std::size_t R>
[[gnu::noinline]] void sum_bf16(const std::uint8_t* halves, std::size_t stride, const std::uint16_t* weights,
                                std::size_t pairs, Real* target) {
    constexpr std::size_t V = Simd::kVectors;
    Real sums[R][V];
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) sums[r][v] = Simd::set(0.0F);
    for (std::size_t g = 0; g < pairs; ++g, weights += kPanel * kPair, halves += kPair * sizeof(std::uint16_t)) {
        Simd::Pairs wide[V];
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) wide[v] = Simd::load_pairs(weights + v * kWidth * kPair);
#pragma GCC unroll 16
        for (std::size_t r = 0; r < R; ++r) {
            const auto input = Simd::spread_pair(reinterpret_cast<const std::uint16_t*>(halves + r * stride));
#pragma GCC unroll 16
            for (std::size_t v = 0; v < V; ++v) sums[r][v] = Simd::dot_pairs(sums[r][v], input, wide[v]);
        }
    }
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) target[r * V + v] = sums[r][v];
}

// From an exact sum of codes to a value of `W x + b`.
template <class Store>
inline void finish_sum(std::size_t row, std::size_t column, Simd::Int sum, const Rounding& rounding,
                       Simd::Int offsets, Real scale, Real bias, const Store& store) {
    const Real whole = Simd::to_real(sum, offsets, rounding.zero);
    store(row, column, Simd::fma(whole, Simd::mul(scale, Simd::set(rounding.step)), bias));
}

// One tile of R rows and a register-full of columns; `store(row, column, value)` gets W x + b.
template <std::size_t R, class Store>
inline void tile_int8(const Rows& rows, const Matrix& matrix, std::size_t column, std::size_t row, Store& store) {
    constexpr std::size_t V = Simd::kVectors;
    const std::size_t groups = matrix.groups();
    const std::int8_t* weights =
        matrix.i8 + column / kPanel * groups * kPanel * kGroup + column % kPanel * kGroup;
    Simd::Int sums[R * V];
    sum_int8<R>(rows.codes + row * rows.code_stride, rows.code_stride, weights, groups, sums);
    for (std::size_t v = 0; v < V; ++v) {
        const std::size_t at = column + v * kWidth;
        const auto offsets = Simd::load_sums(matrix.sums + at);
        const Real scale = Simd::load(matrix.scale + at), bias = Simd::load(matrix.bias + at);
        for (std::size_t r = 0; r < R; ++r) {
            finish_sum(row + r, at, sums[r * V + v], rows.rounding[row + r], offsets, scale, bias, store);
        }
    }
}

template <std::size_t R, Kind kind, class Store>
inline void tile_real(const Rows& rows, const Matrix& matrix, std::size_t column, std::size_t row, Store& store) {
    constexpr std::size_t V = Simd::kVectors;
    Real sums[R * V];
    if constexpr (kind == Kind::bf16) {
        const std::uint16_t* weights =
            matrix.b16 + column / kPanel * matrix.pairs() * kPanel * kPair + column % kPanel * kPair;
        sum_bf16<R>(rows.codes + row * rows.code_stride, rows.code_stride, weights, matrix.pairs(), sums);
    } else {
        const float* weights = matrix.f32 + column / kPanel * matrix.in * kPanel + column % kPanel;
        sum_fp32<R>(rows.reals + row * rows.stride, rows.stride, weights, kPanel, matrix.in, sums);
    }
    for (std::size_t v = 0; v < V; ++v) {
        const std::size_t at = column + v * kWidth;
        const Real bias = Simd::load(matrix.bias + at);
        for (std::size_t r = 0; r < R; ++r) store(row + r, at, Simd::add(sums[r * V + v], bias));
    }
}

template <std::size_t R, Kind kind, class Store>
inline void tile(const Rows& rows, const Matrix& matrix, std::size_t column, std::size_t row, Store& store) {
    if constexpr (kind == Kind::int8) {
        tile_int8<R>(rows, matrix, column, row, store);
    } else {
        tile_real<R, kind>(rows, matrix, column, row, store);
    }
}

// What is left after the whole tiles: one tile of exactly so many rows.
template <std::size_t R, Kind kind, class Store>
inline void last_tile(std::size_t left, const Rows& rows, const Matrix& matrix, std::size_t column, Store& store) {
    if constexpr (R > 0) {
        if (left == R) {
            tile<R, kind>(rows, matrix, column, rows.count - R, store);
        } else {
            last_tile<R - 1, kind>(left, rows, matrix, column, store);
        }
    }
}

template <Kind kind, class Store>
void multiply_panels(const Rows& rows, const Matrix& matrix, Range panels, Store store) {
    constexpr std::size_t step = Simd::kVectors * kWidth;
    for (std::size_t column = panels.begin * kPanel; column < panels.end * kPanel; column += step) {
        std::size_t row = 0;
        for (; row + Simd::kRows <= rows.count; row += Simd::kRows) {
            tile<Simd::kRows, kind>(rows, matrix, column, row, store);
        }
        last_tile<Simd::kRows - 1, kind>(rows.count - row, rows, matrix, column, store);
    }
}

#include "sparse.inl"
#ifdef THINFER_TILES
#include "tiles.inl"
#endif

// `store(row, column, value)` for some panels of `W x + b`; columns come a register at a time.
template <class Store>
void multiply(const Rows& rows, const Matrix& matrix, Range panels, std::uint8_t* packed, Store store) {
    if (!kHasTiles && matrix.blocks != nullptr && rows.count > kFewestLanes) {
        return multiply_sparse(rows, matrix, panels, packed, store);
    }
#ifdef THINFER_TILES
    if (matrix.tiles != nullptr) return multiply_tiles<Kind::int8, true>(rows, matrix, panels, store);
    if (matrix.i8 != nullptr) return multiply_tiles<Kind::int8, false>(rows, matrix, panels, store);
    if (matrix.b16 != nullptr) return multiply_tiles<Kind::bf16, false>(rows, matrix, panels, store);
#endif
    if (matrix.i8 != nullptr) {
        multiply_panels<Kind::int8>(rows, matrix, panels, store);
    } else if (matrix.b16 != nullptr) {
        multiply_panels<Kind::bf16>(rows, matrix, panels, store);
    } else {
        multiply_panels<Kind::fp32>(rows, matrix, panels, store);
    }
}
