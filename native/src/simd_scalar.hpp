// Plain C++, one value at a time: the reference that the tests trust, and what runs anywhere.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

struct Simd {
    using Real = float;
    using Int = std::int32_t;
    static constexpr std::size_t kWidth = 1;
    static constexpr std::size_t kRows = 1;
    static constexpr std::size_t kVectors = 1;

    static Real load(const float* p) { return *p; }
    static Real load_some(const float* p, std::size_t n) { return n ? *p : 0.0F; }
    static void store(float* p, Real v) { *p = v; }
    static void store_some(float* p, Real v, std::size_t n) {
        if (n) *p = v;
    }
    static Real keep(Real v, std::size_t n) { return n ? v : 0.0F; }
    static Real set(float v) { return v; }
    static Real add(Real a, Real b) { return a + b; }
    static Real sub(Real a, Real b) { return a - b; }
    static Real mul(Real a, Real b) { return a * b; }
    static Real div(Real a, Real b) { return a / b; }
    static Real fma(Real a, Real b, Real c) { return std::fma(a, b, c); }
    static Real max(Real a, Real b) { return a > b ? a : b; }
    static Real min(Real a, Real b) { return a < b ? a : b; }
    static Real abs(Real a) { return std::fabs(a); }
    static Real copy_sign(Real size, Real sign) { return std::copysign(size, sign); }
    static Real round(Real a) { return std::nearbyint(a); }
    static Real times_power_of_two(Real a, Real n) { return std::ldexp(a, static_cast<int>(n)); }
    static float sum(Real a) { return a; }
    static float largest(Real a) { return a; }

    static Int zero() { return 0; }
    static const std::int8_t* load_codes(const std::int8_t* p) { return p; }
    static const std::uint8_t* spread(const std::uint8_t* p) { return p; }
    static Int dot(Int sum, const std::uint8_t* inputs, const std::int8_t* weights) {
        for (std::size_t i = 0; i < 4; ++i) sum += std::int32_t{inputs[i]} * std::int32_t{weights[i]};
        return sum;
    }
    static const std::uint8_t* load_inputs(const std::uint8_t* p) { return p; }
    static const std::int8_t* spread_weights(const std::int8_t* p) { return p; }
    static void transpose(Int (&)[1]) {}
    static Int load_sums(const std::int32_t* p) { return *p; }
    static void store_sums(std::int32_t* p, Int v) { *p = v; }
    static Real to_real(Int sum, Int column_sums, float zero) {
        return fma(-zero, static_cast<float>(column_sums), static_cast<float>(sum));
    }
    static void store_codes(std::uint8_t* p, Real v, std::size_t n) {
        if (n) *p = static_cast<std::uint8_t>(std::nearbyint(v));
    }
    struct Pairs {
        float even, odd;
    };
    static float widen(std::uint16_t half) {
        const std::uint32_t bits = std::uint32_t{half} << 16;
        float value;
        __builtin_memcpy(&value, &bits, sizeof value);
        return value;
    }
    static Pairs load_pairs(const std::uint16_t* p) { return {widen(p[0]), widen(p[1])}; }
    static Pairs spread_pair(const std::uint16_t* p) { return load_pairs(p); }
    static Real dot_pairs(Real sum, Pairs inputs, Pairs weights) {
        return fma(inputs.odd, weights.odd, fma(inputs.even, weights.even, sum));
    }
    static void store_halves(std::uint16_t* p, Real v, std::size_t n) {
        std::uint32_t bits;
        __builtin_memcpy(&bits, &v, sizeof bits);
        if (n) *p = static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1U)) >> 16);
    }
    static Real load_halves(const std::uint16_t* p, std::size_t n) { return n ? widen(*p) : 0.0F; }
    static Real load_bytes(const std::int8_t* p, std::size_t n) { return n ? static_cast<float>(*p) : 0.0F; }
};
