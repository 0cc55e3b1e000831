// What is done to one row at a time: rounding to codes or BF16, and layer norm.

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
        Simd::store_codes(codes + at, Simd::min(Simd::max(code, Simd::set(0.0F)), Simd::set(255.0F)), n);
    });
    std::memset(codes + next.in, 0, round_up(next.in, kCodes) - next.in);
    return {width / 255.0F, static_cast<std::int32_t>(zero)};
}

inline void to_halves(const float* row, const Matrix& next, std::uint8_t* codes) {
    auto* halves = reinterpret_cast<std::uint16_t*>(codes);
    over_columns(next.in, [&](std::size_t at, std::size_t n) { Simd::store_halves(halves + at, Simd::load_some(row + at, n), n); });
    if (next.in % kPair != 0) halves[next.in] = 0;  // its weight is 0
}

// What a matrix reads of a row, where that is not the row itself.
inline void round_row(const float* row, const Matrix& next, std::uint8_t* codes, Rounding& rounding) {
    if (next.i8 != nullptr) {
        rounding = to_codes(row, next, codes);
    } else {
        to_halves(row, next, codes);
    }
}

inline void normalise(float* row, const Norm& norm, std::size_t hidden, float epsilon) {
    Real total = Simd::set(0.0F);
    over_columns(hidden, [&](std::size_t at, std::size_t n) { total = Simd::add(total, Simd::load_some(row + at, n)); });
    const Real mean = Simd::set(Simd::sum(total) / static_cast<float>(hidden));
    Real squares = Simd::set(0.0F);
    over_columns(hidden, [&](std::size_t at, std::size_t n) {
        const Real centred = Simd::keep(Simd::sub(Simd::load_some(row + at, n), mean), n);
        squares = Simd::fma(centred, centred, squares);
    });
    const float variance = Simd::sum(squares) / static_cast<float>(hidden);
    const Real factor = Simd::set(1.0F / std::sqrt(variance + epsilon));
    over_columns(hidden, [&](std::size_t at, std::size_t n) {
        const Real centred = Simd::mul(Simd::sub(Simd::load_some(row + at, n), mean), factor);
        const Real value = Simd::fma(centred, Simd::load_some(norm.weight + at, n), Simd::load_some(norm.bias + at, n));
        Simd::store_some(row + at, value, n);
    });
}
