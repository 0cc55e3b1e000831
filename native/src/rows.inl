// What is done to one row at a time: rounding to codes or BF16, and layer norm.

// What is beyond the last input of a row, up to a whole piece, is read as well: it is zero.
inline void clear_end(std::uint8_t* codes, std::size_t bytes) {
    if (bytes % kCodes != 0) std::memset(codes + byte_place(bytes), 0, kCodes - bytes % kCodes);
}

// Rounds a row to codes 0 ... 255 over its own range; 0 is among the values that lose nothing.
inline Rounding to_codes(const float* row, const Matrix& next, std::uint8_t* codes) {
    Real low = Simd::set(0.0F), high = Simd::set(0.0F);
    over_columns(next.in, [&](std::size_t at, std::size_t n) {
        const Real value = Simd::mul(Simd::load_some(row + at, n), Simd::load(next.smoothing + at));
        low = Simd::min(low, value);
        high = Simd::max(high, value);
    });
    const float least = -Simd::largest(Simd::sub(Simd::set(0.0F), low));
    const float width = Simd::largest(high) - least;
    const float factor = width > 0.0F ? 255.0F / width : 0.0F;
    const float zero = std::nearbyint(-least * factor);
    const Real inverse = Simd::set(factor), offset = Simd::set(zero);
    over_columns(next.in, [&](std::size_t at, std::size_t n) {
        const Real value = Simd::mul(Simd::load_some(row + at, n), Simd::load(next.smoothing + at));
        const Real code = Simd::fma(value, inverse, offset);
        Simd::store_codes(codes + byte_place(at), Simd::min(Simd::max(code, Simd::set(0.0F)), Simd::set(255.0F)), n);
    });
    clear_end(codes, next.in);
    return {width / 255.0F, zero};
}

inline void to_halves(const float* row, const Matrix& next, std::uint8_t* codes) {
    over_columns(next.in, [&](std::size_t at, std::size_t n) {
        auto* halves = reinterpret_cast<std::uint16_t*>(codes + byte_place(sizeof(std::uint16_t) * at));
        Simd::store_halves(halves, Simd::load_some(row + at, n), n);
    });
    clear_end(codes, sizeof(std::uint16_t) * next.in);
}

// What a matrix reads of a row, where that is not the row itself.
inline void round_row(const float* row, const Matrix& next, std::uint8_t* codes, Rounding& rounding) {
    if (next.i8 != nullptr) {
        rounding = to_codes(row, next, codes);
    } else {
        to_halves(row, next, codes);
    }
}

#ifdef THINFER_TILES
#include "shorts.inl"
#endif

// Layer norm of a row in place; `see(column, value, lanes)` gets each value besides.
template <class See>
inline void normalise(float* row, const Norm& norm, std::size_t hidden, float epsilon, See see) {
    const Real total = sum_columns(hidden, [&](std::size_t at, std::size_t n, Real sum) { return Simd::add(sum, Simd::load_some(row + at, n)); });
    const Real mean = Simd::set(Simd::sum(total) / static_cast<float>(hidden));
    const Real squares = sum_columns(hidden, [&](std::size_t at, std::size_t n, Real sum) {
        const Real centred = Simd::keep(Simd::sub(Simd::load_some(row + at, n), mean), n);
        return Simd::fma(centred, centred, sum);
    });
    const float variance = Simd::sum(squares) / static_cast<float>(hidden);
    const Real factor = Simd::set(1.0F / std::sqrt(variance + epsilon));
    over_columns(hidden, [&](std::size_t at, std::size_t n) {
        const Real centred = Simd::mul(Simd::sub(Simd::load_some(row + at, n), mean), factor);
        const Real value = Simd::fma(centred, Simd::load_some(norm.weight + at, n), Simd::load_some(norm.bias + at, n));
        Simd::store_some(row + at, value, n);
        see(at, value, n);
    });
}
