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
    // sum - zero * column sum, each rounded to a float first: a whole product is three times as slow
    static Real to_real(Int sum, Int column_sums, float zero) {
        return _mm512_fnmadd_ps(set(zero), _mm512_cvtepi32_ps(column_sums), _mm512_cvtepi32_ps(sum));
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
#ifdef __AVX512BF16__
        const __m256bh short_v = _mm512_cvtneps_pbh(v);
        if (n == kWidth) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<const __m256i&>(short_v));
        _mm256_mask_storeu_epi16(p, first(n), reinterpret_cast<const __m256i&>(short_v));
#else
        const Int bits = _mm512_castps_si512(v);
        const Int tie = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
        const Int rounded = _mm512_add_epi32(bits, _mm512_add_epi32(tie, _mm512_set1_epi32(0x7FFF)));
        _mm256_mask_storeu_epi16(p, first(n), _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
#endif
    }
    static Real load_halves(const std::uint16_t* p, std::size_t n) {
        const Int wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first(n), p));
        return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
    }
    static Real load_bytes(const std::int8_t* p, std::size_t n) {
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first(n), p)));
    }

#ifdef THINFER_TILES
    // What only the tile unit's kernels use: FP16, and two-byte numbers without a meaning.
    static Real to_reals(Int a) { return _mm512_cvtepi32_ps(a); }
    static Real fnma(Real a, Real b, Real c) { return _mm512_fnmadd_ps(a, b, c); }
    // min(|a|, most), `most` positive
    static Real bounded_size(Real a, float most) { return _mm512_range_ps(a, _mm512_set1_ps(most), 0b1010); }
    // `a` times 2 to the whole number that the last bits of `shifted` hold
    static Real add_exponent(Real a, Real shifted) {
        return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), _mm512_slli_epi32(_mm512_castps_si512(shifted), 23)));
    }
    static Real keep_or(Real v, std::size_t n, Real rest) { return _mm512_mask_mov_ps(rest, first(n), v); }
    // Whether no number is above `most` and one at least is above `least`.
    static bool is_largest_within(Real v, float least, float most) {
        const bool is_low_enough = _mm512_cmp_ps_mask(v, set(most), _CMP_NLE_UQ) == 0;
        return is_low_enough && _mm512_cmp_ps_mask(v, set(least), _CMP_GT_OQ) != 0;
    }
    // Whether every number is 0 or from `least` to `most`.
    static bool are_within(Real v, float least, float most) {
        const __mmask16 is_set = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
        return (_mm512_mask_cmp_ps_mask(is_set, v, set(least), _CMP_NGE_UQ) | _mm512_cmp_ps_mask(v, set(most), _CMP_NLE_UQ)) == 0;
    }
    static __mmask32 first_halves(std::size_t n) { return static_cast<__mmask32>((std::uint64_t{1} << n) - 1U); }
    static Int load_some_halves(const std::uint16_t* p, std::size_t n) { return _mm512_maskz_loadu_epi16(first_halves(n), p); }
    // Numbers `begin` to `end` of a register from memory, the others as they are.
    static Int add_halves(Int some, const std::uint16_t* p, std::size_t begin, std::size_t end) {
        return _mm512_mask_loadu_epi16(some, first_halves(end) & ~first_halves(begin), p - begin);
    }
    // Pairs of the first and of the last 16 of two rows of 32.
    static void interleave_halves(Int even, Int odd, Int& low, Int& high) {
        const Int low_bits = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(even));
        const Int low_odd = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(odd));
        low = _mm512_or_si512(low_bits, _mm512_slli_epi32(low_odd, 16));
        const Int high_bits = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(even, 1));
        const Int high_odd = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(odd, 1));
        high = _mm512_or_si512(high_bits, _mm512_slli_epi32(high_odd, 16));
    }
    // Rounds to FP16; what is beyond its range becomes its largest number.
    static void store_shorts(std::uint16_t* p, Real v, std::size_t n) {
        const Real bounded = _mm512_range_ps(v, _mm512_set1_ps(65504.0F), 0b0010);  // the nearer to 0, with the sign of `v`
        const __m256i shorts = _mm512_cvtps_ph(bounded, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        if (n == kWidth) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), shorts);
        _mm256_mask_storeu_epi16(p, first(n), shorts);
    }
    // The 32 numbers of a panel's row, in BF16.
    static void store_both_halves(std::uint16_t* p, Real left, Real right) {
#ifdef __AVX512BF16__
        const __m512bh both = _mm512_cvtne2ps_pbh(right, left);
        _mm512_storeu_si512(p, reinterpret_cast<const Int&>(both));
#else
        store_halves(p, left, kWidth);
        store_halves(p + kWidth, right, kWidth);
#endif
    }
#ifdef __AVX512FP16__
    // 32 numbers in FP16. What can be done to their bits as whole numbers is: while a tile unit works, those
    // instructions start twice as often.
    using Short = __m512h;
    static Int bits_of(Short a) { return reinterpret_cast<const Int&>(a); }
    static Short short_of(Int bits) { return reinterpret_cast<const Short&>(bits); }
    static Short shorten(Real left, Real right) {
        const __m256h low = _mm512_cvtxps_ph(left), high = _mm512_cvtxps_ph(right);
        const Int first = _mm512_castsi256_si512(reinterpret_cast<const __m256i&>(low));
        return short_of(_mm512_inserti64x4(first, reinterpret_cast<const __m256i&>(high), 1));
    }
    static Short load_short(const std::uint16_t* p) { return _mm512_loadu_ph(p); }
    static Short set_short(float v) { return _mm512_set1_ph(static_cast<_Float16>(v)); }
    static Short add(Short a, Short b) { return _mm512_add_ph(a, b); }
    static Short mul(Short a, Short b) { return _mm512_mul_ph(a, b); }
    static Short fma(Short a, Short b, Short c) { return _mm512_fmadd_ph(a, b, c); }
    // min(|a|, most), `most` positive
    static Short bounded_size(Short a, Short most) {
        return short_of(_mm512_min_epu16(_mm512_and_si512(bits_of(a), _mm512_set1_epi16(0x7FFF)), bits_of(most)));
    }
    static Short positive(Short a) { return short_of(_mm512_max_epi16(bits_of(a), _mm512_setzero_si512())); }
    // What is above FP16's range becomes its largest number; nothing may be below it.
    static void store_short(std::uint16_t* p, Short a) { _mm512_storeu_si512(p, _mm512_min_epi16(bits_of(a), _mm512_set1_epi16(0x7BFF))); }
#endif
    static Int largest_halves(Int a, Int b) { return _mm512_max_epi16(a, b); }
    static Int largest_bits(Int a, Int b) { return _mm512_max_epu16(a, b); }
    // The largest number, or the least with `is_negative`, of what the two functions above have kept.
    static float widest_half(Int kept, bool is_negative) {
        const Int even = _mm512_and_si512(kept, _mm512_set1_epi32(0xFFFF)), odd = _mm512_srli_epi32(kept, 16);
        const auto bits = static_cast<std::uint16_t>(_mm512_reduce_max_epu32(_mm512_max_epu32(even, odd)));
        if (is_negative && bits < 0x8000) return 0.0F;
        return _cvtsh_ss(bits);
    }
    // How a row in FP16 becomes codes: a row of usual size in FP16 itself, any other in FP32.
    class Scale {
      public:
        Scale() = default;
        Scale(float least, float most) {
            const float width = most - least;
            factor_ = width > 0.0F ? 255.0F / width : 0.0F;
#ifdef __AVX512FP16__
            is_usual_ = width > 0.01F && width < 6e4F;
            short_factor_ = static_cast<_Float16>(is_usual_ ? factor_ : 0.0F);
            if (is_usual_) factor_ = static_cast<float>(short_factor_);
#endif
            zero_ = __builtin_nearbyintf(-least * factor_);
#ifdef __AVX512FP16__
            short_zero_ = static_cast<_Float16>(zero_);
#endif
        }
        float zero() const { return zero_; }
        float step() const { return factor_ > 0.0F ? 1.0F / factor_ : 0.0F; }

        // Codes of `n` of 32 numbers.
        void store(std::uint8_t* codes, const std::uint16_t* row, std::size_t n) const {
            const __m256i found = to_codes(n == 32 ? _mm512_loadu_si512(row) : load_some_halves(row, n));
            if (n == 32) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), found);
            _mm256_mask_storeu_epi8(codes, first_halves(n), found);
        }

      private:
        __m256i to_codes(Int halves) const {
#ifdef __AVX512FP16__
            if (is_usual_) {
                const __m512h numbers = reinterpret_cast<const __m512h&>(halves);
                const __m512h value = _mm512_fmadd_ph(numbers, _mm512_set1_ph(short_factor_), _mm512_set1_ph(short_zero_));
                return _mm512_cvtusepi16_epi8(_mm512_cvtph_epu16(_mm512_max_ph(value, _mm512_setzero_ph())));
            }
#endif
            const Real low = fma(_mm512_cvtph_ps(_mm512_castsi512_si256(halves)), set(factor_), set(zero_));
            const Real high = fma(_mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1)), set(factor_), set(zero_));
            const __m256i first_words = _mm512_cvtusepi32_epi16(_mm512_cvtps_epu32(max(low, set(0.0F))));
            const __m256i last_words = _mm512_cvtusepi32_epi16(_mm512_cvtps_epu32(max(high, set(0.0F))));
            return _mm512_cvtusepi16_epi8(_mm512_inserti64x4(_mm512_castsi256_si512(first_words), last_words, 1));
        }

        float factor_ = 0.0F, zero_ = 0.0F;
#ifdef __AVX512FP16__
        _Float16 short_factor_ = 0, short_zero_ = 0;
        bool is_usual_ = false;
#endif
    };
#endif
};
