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

// Weights to be fetched from memory while others are multiplied, two lines a step: a processor's own prefetching
// ends at every page (docs/why/21-native-engine.md).
struct Ahead {
    const std::uint8_t* place;
    std::size_t stride;  // in bytes; 0 where nothing is to come

    void fetch() {
        __builtin_prefetch(place, 0, 2);
        __builtin_prefetch(place + kStepBytes / 2, 0, 2);
        place += stride;
    }

    static constexpr std::size_t kStepBytes = 128;  // of a panel in each kind of weight
};

// Where a tile's rows are, as two pointers and three distances: with a register for each row gcc 12 keeps some of them
// in vector registers, and moving them back takes turns from the products.
template <class Number>
class Places {
  public:
    Places(const Number* first, std::size_t stride) : first_(first), second_(first + 6 * stride), once_(stride), thrice_(3 * stride), five_(5 * stride) {
        hide(second_);
        hide(thrice_);
        hide(five_);
    }

    template <std::size_t row>
    const Number* at() const {
        const Number* from = row < 6 ? first_ : second_;
        constexpr std::size_t left = row % 6;
        return from + (left == 5 ? five_ : left == 3 ? thrice_ : left * once_);
    }

    void advance(std::size_t count) {
        first_ += count;
        second_ += count;
    }

  private:
    // What the optimiser knows nothing of it cannot compute from the other ones.
    template <class Value>
    static void hide(Value& value) {
        asm("" : "+r"(value));
    }

    const Number *first_, *second_;
    std::size_t once_, thrice_, five_;
};

// Calls `use` with the numbers 0 ... R - 1 as constants.
template <std::size_t R, class Use>
[[gnu::always_inline]] inline void for_rows(Use use) {
    [&]<std::size_t... row>(std::index_sequence<row...>) __attribute__((always_inline)) {
        (use.template operator()<row>(), ...);
    }(std::make_index_sequence<R>());
}

// For weights that were made just now.
struct NothingAhead {
    void fetch() {}
};

// The sums of one tile of R rows, [R, vectors, lanes]. They leave the registers only once, at the
// end and by constant indices: where the code that uses them stands in the same function, gcc 12
// keeps a copy of each on the stack inside the loop, at less than half the speed.
template <std::size_t R>
[[gnu::noinline]] void sum_int8(const std::uint8_t* codes, std::size_t stride, const std::int8_t* weights,
                                std::size_t groups, Ahead ahead, Simd::Int* target) {
    constexpr std::size_t V = Simd::kVectors;
    Simd::Int sums[R][V];
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) sums[r][v] = Simd::zero();
    Places<std::uint8_t> places(codes, stride);
    for (std::size_t g = 0; g < groups; ++g, weights += kPanel * kGroup, places.advance(kGroup)) {
        ahead.fetch();
        decltype(Simd::load_codes(weights)) wide[V];
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) wide[v] = Simd::load_codes(weights + v * kWidth * kGroup);
        for_rows<R>([&]<std::size_t r>() __attribute__((always_inline)) {
            const auto input = Simd::spread(places.template at<r>());
#pragma GCC unroll 16
            for (std::size_t v = 0; v < V; ++v) sums[r][v] = Simd::dot(sums[r][v], input, wide[v]);
        });
    }
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) target[r * V + v] = sums[r][v];
}

template <std::size_t R, class Fetching>
[[gnu::noinline]] void sum_fp32(const float* inputs, std::size_t stride, const float* weights,
                                std::size_t weight_stride, std::size_t count, Fetching ahead, Real* target) {
    constexpr std::size_t V = Simd::kVectors;
    Real sums[R][V];
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) sums[r][v] = Simd::set(0.0F);
    Places<float> places(inputs, stride);
    for (std::size_t i = 0; i < count; ++i, weights += weight_stride, places.advance(1)) {
        ahead.fetch();
        Real wide[V];
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) wide[v] = Simd::load(weights + v * kWidth);
        for_rows<R>([&]<std::size_t r>() __attribute__((always_inline)) {
            const Real input = Simd::set(*places.template at<r>());
#pragma GCC unroll 16
            for (std::size_t v = 0; v < V; ++v) sums[r][v] = Simd::fma(input, wide[v], sums[r][v]);
        });
    }
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) target[r * V + v] = sums[r][v];
}

template <std::size_t R>
[[gnu::noinline]] void sum_bf16(const std::uint8_t* halves, std::size_t stride, const std::uint16_t* weights,
                                std::size_t pairs, Ahead ahead, Real* target) {
    constexpr std::size_t V = Simd::kVectors;
    Real sums[R][V];
#pragma GCC unroll 16
    for (std::size_t r = 0; r < R; ++r)
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) sums[r][v] = Simd::set(0.0F);
    Places<std::uint8_t> places(halves, stride);
    for (std::size_t g = 0; g < pairs; ++g, weights += kPanel * kPair, places.advance(kPair * sizeof(std::uint16_t))) {
        ahead.fetch();
        Simd::Pairs wide[V];
#pragma GCC unroll 16
        for (std::size_t v = 0; v < V; ++v) wide[v] = Simd::load_pairs(weights + v * kWidth * kPair);
        for_rows<R>([&]<std::size_t r>() __attribute__((always_inline)) {
            const auto input = Simd::spread_pair(reinterpret_cast<const std::uint16_t*>(places.template at<r>()));
#pragma GCC unroll 16
            for (std::size_t v = 0; v < V; ++v) sums[r][v] = Simd::dot_pairs(sums[r][v], input, wide[v]);
        });
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
inline void tile_int8(const Rows& rows, const Matrix& matrix, std::size_t column, std::size_t row, Ahead ahead, Store& store) {
    constexpr std::size_t V = Simd::kVectors;
    const std::size_t groups = matrix.groups();
    const std::int8_t* weights =
        matrix.i8 + column / kPanel * groups * kPanel * kGroup + column % kPanel * kGroup;
    Simd::Int sums[R * V];
    sum_int8<R>(rows.codes + row * rows.code_stride, rows.code_stride, weights, groups, ahead, sums);
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
inline void tile_real(const Rows& rows, const Matrix& matrix, std::size_t column, std::size_t row, Ahead ahead, Store& store) {
    constexpr std::size_t V = Simd::kVectors;
    Real sums[R * V];
    if constexpr (kind == Kind::bf16) {
        const std::uint16_t* weights =
            matrix.b16 + column / kPanel * matrix.pairs() * kPanel * kPair + column % kPanel * kPair;
        sum_bf16<R>(rows.codes + row * rows.code_stride, rows.code_stride, weights, matrix.pairs(), ahead, sums);
    } else {
        const float* weights = matrix.f32 + column / kPanel * matrix.in * kPanel + column % kPanel;
        sum_fp32<R>(rows.reals + row * rows.stride, rows.stride, weights, kPanel, matrix.in, ahead, sums);
    }
    for (std::size_t v = 0; v < V; ++v) {
        const std::size_t at = column + v * kWidth;
        const Real bias = Simd::load(matrix.bias + at);
        for (std::size_t r = 0; r < R; ++r) store(row + r, at, Simd::add(sums[r * V + v], bias));
    }
}

template <std::size_t R, Kind kind, class Store>
inline void tile(const Rows& rows, const Matrix& matrix, std::size_t column, std::size_t row, Ahead ahead, Store& store) {
    if constexpr (kind == Kind::int8) {
        tile_int8<R>(rows, matrix, column, row, ahead, store);
    } else {
        tile_real<R, kind>(rows, matrix, column, row, ahead, store);
    }
}

// What is left after the whole tiles: one tile of exactly so many rows.
template <std::size_t R, Kind kind, class Store>
inline void last_tile(std::size_t left, const Rows& rows, const Matrix& matrix, std::size_t column, Ahead ahead, Store& store) {
    if constexpr (R > 0) {
        if (left == R) {
            tile<R, kind>(rows, matrix, column, rows.count - R, ahead, store);
        } else {
            last_tile<R - 1, kind>(left, rows, matrix, column, ahead, store);
        }
    }
}

template <Kind kind>
const std::uint8_t* panel_place(const Matrix& matrix, std::size_t panel) {
    if constexpr (kind == Kind::int8) {
        return reinterpret_cast<const std::uint8_t*>(matrix.i8 + panel * matrix.groups() * kPanel * kGroup);
    } else if constexpr (kind == Kind::bf16) {
        return reinterpret_cast<const std::uint8_t*>(matrix.b16 + panel * matrix.pairs() * kPanel * kPair);
    } else {
        return reinterpret_cast<const std::uint8_t*>(matrix.f32 + panel * matrix.in * kPanel);
    }
}

template <Kind kind, class Store>
void multiply_panels(const Rows& rows, const Matrix& matrix, Range panels, Store store) {
    constexpr std::size_t step = Simd::kVectors * kWidth;
    const std::size_t tiles = (rows.count + Simd::kRows - 1) / Simd::kRows;
    if (tiles == 0) return;
    // The tiles of a panel fetch the next one together.
    const std::size_t stride = (Ahead::kStepBytes + tiles - 1) / tiles;
    for (std::size_t column = panels.begin * kPanel; column < panels.end * kPanel; column += step) {
        const std::size_t panel = column / kPanel;
        const std::uint8_t* weights = panel_place<kind>(matrix, panel);
        const bool is_last = panel + 1 == panels.end;
        const std::uint8_t* next = is_last ? weights : panel_place<kind>(matrix, panel + 1);
        const auto part = static_cast<std::size_t>(next - weights) / tiles;
        Ahead ahead{next, is_last ? 0 : stride};
        std::size_t row = 0;
        for (; row + Simd::kRows <= rows.count; row += Simd::kRows, ahead.place += part) {
            tile<Simd::kRows, kind>(rows, matrix, column, row, ahead, store);
        }
        last_tile<Simd::kRows - 1, kind>(rows.count - row, rows, matrix, column, ahead, store);
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
