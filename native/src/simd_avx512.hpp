// AVX-512 with VNNI: 16 floats or 64 codes a register.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

struct Simd {
    using Real = __m512;
    using Int = __m512i;
    static constexpr std::size_t kWidth = 16;
    static constexpr std::size_t kRows = 12;    // of a product's tile: 24 sums stay in registers
    static constexpr std::size_t kVectors = 2;  // of a product's tile

    static __mmask16 first(std::size_t n) { return static_cast<__mmask16>((1U << n) - 1U); }

    static Real load(const float* p) { return _mm512_loadu_ps(p); }
    static Real load_some(const float* p, std::size_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
    static void store(float* p, Real v) { _mm512_storeu_ps(p, v); }
    static void store_some(float* p, Real v, std::size_t n) { _mm512_mask_storeu_ps(p, first(n), v); }
    static Real keep(Real v, std::size_t n) { return _mm512_maskz_mov_ps(first(n), v); }
    static Real set(float v) { return _mm512_set1_ps(v); }
    static Real add(Real a, Real b) { return _mm512_add_ps(a, b); }
    static Real sub(Real a, Real b) { return _mm512_sub_ps(a, b); }
    static Real mul(Real a, Real b) { return _mm512_mul_ps(a, b); }
    static Real div(Real a, Real b) { return _mm512_div_ps(a, b); }
    static Real fma(Real a, Real b, Real c) { return _mm512_fmadd_ps(a, b, c); }
    static Real max(Real a, Real b) { return _mm512_max_ps(a, b); }
    static Real min(Real a, Real b) { return _mm512_min_ps(a, b); }
    static Real abs(Real a) { return _mm512_abs_ps(a); }
    static Real copy_sign(Real size, Real sign) {
        const Real bit = _mm512_set1_ps(-0.0F);
        return _mm512_or_ps(_mm512_andnot_ps(bit, size), _mm512_and_ps(bit, sign));
    }
    static Real round(Real a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
    static Real times_power_of_two(Real a, Real n) { return _mm512_scalef_ps(a, n); }
    static float sum(Real a) { return _mm512_reduce_add_ps(a); }
    static float largest(Real a) { return _mm512_reduce_max_ps(a); }

    static Int zero() { return _mm512_setzero_si512(); }
    static Int load_codes(const std::int8_t* p) { return _mm512_loadu_si512(p); }
    static Int spread(const std::uint8_t* p) {
        std::int32_t four;
        __builtin_memcpy(&four, p, sizeof four);
        return _mm512_set1_epi32(four);
    }
    static Int dot(Int sum, Int inputs, Int weights) { return _mm512_dpbusd_epi32(sum, inputs, weights); }
    static Int load_inputs(const std::uint8_t* p) { return _mm512_loadu_si512(p); }
    static Int spread_weights(const std::int8_t* p) { return spread(reinterpret_cast<const std::uint8_t*>(p)); }
    // Rows become columns: 16 registers of 16 numbers.
    static void transpose(Int (&rows)[16]) {
        Int quarter[16];
        for (int at = 0; at < 16; at += 2) {
            quarter[at] = _mm512_unpacklo_epi32(rows[at], rows[at + 1]);
            quarter[at + 1] = _mm512_unpackhi_epi32(rows[at], rows[at + 1]);
        }
        for (int at = 0; at < 16; at += 4) {
            rows[at] = _mm512_unpacklo_epi64(quarter[at], quarter[at + 2]);
            rows[at + 1] = _mm512_unpackhi_epi64(quarter[at], quarter[at + 2]);
            rows[at + 2] = _mm512_unpacklo_epi64(quarter[at + 1], quarter[at + 3]);
            rows[at + 3] = _mm512_unpackhi_epi64(quarter[at + 1], quarter[at + 3]);
        }
        for (int at = 0; at < 4; ++at) {
            const Int even = _mm512_shuffle_i32x4(rows[at], rows[4 + at], 0x88);
            const Int odd = _mm512_shuffle_i32x4(rows[at], rows[4 + at], 0xDD);
            const Int later_even = _mm512_shuffle_i32x4(rows[8 + at], rows[12 + at], 0x88);
            const Int later_odd = _mm512_shuffle_i32x4(rows[8 + at], rows[12 + at], 0xDD);
            rows[at] = _mm512_shuffle_i32x4(even, later_even, 0x88);
            rows[4 + at] = _mm512_shuffle_i32x4(odd, later_odd, 0x88);
            rows[8 + at] = _mm512_shuffle_i32x4(even, later_even, 0xDD);
            rows[12 + at] = _mm512_shuffle_i32x4(odd, later_odd, 0xDD);
        }
    }
    static Int load_sums(const std::int32_t* p) { return _mm512_loadu_si512(p); }
    static void store_sums(std::int32_t* p, Int v) { _mm512_storeu_si512(p, v); }
    // (sum - zero * column sum) as a float
    static Real to_real(Int sum, Int column_sums, std::int32_t zero) {
        return _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, _mm512_mullo_epi32(column_sums, _mm512_set1_epi32(zero))));
    }
    // Rounds `n` of 16 values in 0 ... 255.
    static void store_codes(std::uint8_t* p, Real v, std::size_t n) {
        _mm_mask_storeu_epi8(p, first(n), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
    }
#ifdef __AVX512BF16__
    using Pairs = __m512bh;
    static Pairs load_pairs(const std::uint16_t* p) {
        const Int bits = _mm512_loadu_si512(p);
        return reinterpret_cast<const Pairs&>(bits);
    }
    static Pairs spread_pair(const std::uint16_t* p) {
        std::int32_t two;
        __builtin_memcpy(&two, p, sizeof two);
        const Int bits = _mm512_set1_epi32(two);
        return reinterpret_cast<const Pairs&>(bits);
    }
    static Real dot_pairs(Real sum, Pairs inputs, Pairs weights) { return _mm512_dpbf16_ps(sum, inputs, weights); }
#else
    struct Pairs {
        Real even, odd;
    };
    static Pairs split(Int pairs) {
        const Int odd = _mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xFFFF0000U)));
        return {_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)), _mm512_castsi512_ps(odd)};
    }
    static Pairs load_pairs(const std::uint16_t* p) { return split(_mm512_loadu_si512(p)); }
    static Pairs spread_pair(const std::uint16_t* p) {
        std::int32_t two;
        __builtin_memcpy(&two, p, sizeof two);
        return split(_mm512_set1_epi32(two));
    }
    static Real dot_pairs(Real sum, Pairs inputs, Pairs weights) {
        return fma(inputs.odd, weights.odd, fma(inputs.even, weights.even, sum));
    }
#endif
    static void store_halves(std::uint16_t* p, Real v, std::size_t n) {
        const Int bits = _mm512_castps_si512(v);
        const Int tie = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
        const Int rounded = _mm512_add_epi32(bits, _mm512_add_epi32(tie, _mm512_set1_epi32(0x7FFF)));
        _mm256_mask_storeu_epi16(p, first(n), _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
    }
    static Real load_halves(const std::uint16_t* p, std::size_t n) {
        const Int wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first(n), p));
        return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
    }
    static Real load_bytes(const std::int8_t* p, std::size_t n) {
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first(n), p)));
    }
};
