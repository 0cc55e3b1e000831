// AVX2 with FMA: 8 floats or 32 codes a register; with AVX-VNNI where the build says so.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

struct Simd {
    using Real = __m256;
    using Int = __m256i;
    static constexpr std::size_t kWidth = 8;
    static constexpr std::size_t kRows = 6;  // of a product's tile: 12 sums stay in registers
    static constexpr std::size_t kVectors = 2;

    static __m256i first(std::size_t n) {
        const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lanes);
    }

    static Real load(const float* p) { return _mm256_loadu_ps(p); }
    static Real load_some(const float* p, std::size_t n) { return _mm256_maskload_ps(p, first(n)); }
    static void store(float* p, Real v) { _mm256_storeu_ps(p, v); }
    static void store_some(float* p, Real v, std::size_t n) { _mm256_maskstore_ps(p, first(n), v); }
    static Real keep(Real v, std::size_t n) { return _mm256_and_ps(v, _mm256_castsi256_ps(first(n))); }
    static Real set(float v) { return _mm256_set1_ps(v); }
    static Real add(Real a, Real b) { return _mm256_add_ps(a, b); }
    static Real sub(Real a, Real b) { return _mm256_sub_ps(a, b); }
    static Real mul(Real a, Real b) { return _mm256_mul_ps(a, b); }
    static Real div(Real a, Real b) { return _mm256_div_ps(a, b); }
    static Real fma(Real a, Real b, Real c) { return _mm256_fmadd_ps(a, b, c); }
    static Real max(Real a, Real b) { return _mm256_max_ps(a, b); }
    static Real min(Real a, Real b) { return _mm256_min_ps(a, b); }
    static Real abs(Real a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0F), a); }
    static Real copy_sign(Real size, Real sign) {
        const Real bit = _mm256_set1_ps(-0.0F);
        return _mm256_or_ps(_mm256_andnot_ps(bit, size), _mm256_and_ps(bit, sign));
    }
    static Real round(Real a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
    static Real times_power_of_two(Real a, Real n) {
        const Int power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
        return _mm256_mul_ps(a, _mm256_castsi256_ps(power));
    }
    static float sum(Real a) {
        __m128 half = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
        half = _mm_add_ps(half, _mm_movehl_ps(half, half));
        return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
    }
    static float largest(Real a) {
        __m128 half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
        half = _mm_max_ps(half, _mm_movehl_ps(half, half));
        return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
    }

    static Int zero() { return _mm256_setzero_si256(); }
    static Int load_codes(const std::int8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const Int*>(p)); }
    static Int spread(const std::uint8_t* p) {
        std::int32_t four;
        __builtin_memcpy(&four, p, sizeof four);
        return _mm256_set1_epi32(four);
    }
    static Int dot(Int sum, Int inputs, Int weights) {
#ifdef __AVXVNNI__
        return _mm256_dpbusd_avx_epi32(sum, inputs, weights);
#else
        // Even and odd bytes apart: their products of 255 · 127 summed in pairs would not fit the
        // 16 bits of the one-step instruction.
        const Int low = _mm256_set1_epi16(0x00FF);
        const Int even = _mm256_madd_epi16(_mm256_and_si256(inputs, low), _mm256_srai_epi16(_mm256_slli_epi16(weights, 8), 8));
        const Int odd = _mm256_madd_epi16(_mm256_srli_epi16(inputs, 8), _mm256_srai_epi16(weights, 8));
        return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
#endif
    }
    static Int load_inputs(const std::uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const Int*>(p)); }
    static Int spread_weights(const std::int8_t* p) { return spread(reinterpret_cast<const std::uint8_t*>(p)); }
    // Rows become columns: 8 registers of 8 numbers.
    static void transpose(Int (&rows)[8]) {
        Int half[8];
        for (int at = 0; at < 8; at += 2) {
            half[at] = _mm256_unpacklo_epi32(rows[at], rows[at + 1]);
            half[at + 1] = _mm256_unpackhi_epi32(rows[at], rows[at + 1]);
        }
        for (int at = 0; at < 8; at += 4) {
            rows[at] = _mm256_unpacklo_epi64(half[at], half[at + 2]);
            rows[at + 1] = _mm256_unpackhi_epi64(half[at], half[at + 2]);
            rows[at + 2] = _mm256_unpacklo_epi64(half[at + 1], half[at + 3]);
            rows[at + 3] = _mm256_unpackhi_epi64(half[at + 1], half[at + 3]);
        }
        for (int at = 0; at < 4; ++at) {
            const Int low = _mm256_permute2x128_si256(rows[at], rows[4 + at], 0x20);
            rows[4 + at] = _mm256_permute2x128_si256(rows[at], rows[4 + at], 0x31);
            rows[at] = low;
        }
    }
    static Int load_sums(const std::int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const Int*>(p)); }
    static void store_sums(std::int32_t* p, Int v) { _mm256_storeu_si256(reinterpret_cast<Int*>(p), v); }
    static Real to_real(Int sum, Int column_sums, float zero) {
        return _mm256_fnmadd_ps(set(zero), _mm256_cvtepi32_ps(column_sums), _mm256_cvtepi32_ps(sum));
    }
    static void store_codes(std::uint8_t* p, Real v, std::size_t n) {
        const Int whole = _mm256_cvtps_epi32(v);
        const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
        const __m128i bytes = _mm_packus_epi16(words, words);
        __builtin_memcpy(p, &bytes, n < 8 ? n : 8);
    }
    struct Pairs {
        Real even, odd;
    };
    static Pairs split(Int pairs) {
        const Int odd = _mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int>(0xFFFF0000U)));
        return {_mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)), _mm256_castsi256_ps(odd)};
    }
    static Pairs load_pairs(const std::uint16_t* p) { return split(_mm256_loadu_si256(reinterpret_cast<const Int*>(p))); }
    static Pairs spread_pair(const std::uint16_t* p) {
        std::int32_t two;
        __builtin_memcpy(&two, p, sizeof two);
        return split(_mm256_set1_epi32(two));
    }
    static Real dot_pairs(Real sum, Pairs inputs, Pairs weights) {
        return fma(inputs.odd, weights.odd, fma(inputs.even, weights.even, sum));
    }
    static void store_halves(std::uint16_t* p, Real v, std::size_t n) {
        const Int bits = _mm256_castps_si256(v);
        const Int tie = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
        const Int rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(tie, _mm256_set1_epi32(0x7FFF))), 16);
        const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
        __builtin_memcpy(p, &halves, 2 * (n < 8 ? n : 8));
    }
    static Real load_halves(const std::uint16_t* p, std::size_t n) {
        __m128i halves = _mm_setzero_si128();
        __builtin_memcpy(&halves, p, 2 * (n < 8 ? n : 8));
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
    }
    static Real load_bytes(const std::int8_t* p, std::size_t n) {
        std::int64_t eight = 0;
        __builtin_memcpy(&eight, p, n < 8 ? n : 8);
        return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_cvtsi64_si128(eight)));
    }
};
