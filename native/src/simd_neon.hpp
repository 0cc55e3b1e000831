// NEON with the dot product instruction: 4 floats or 16 codes a register; where the build has i8mm,
// codes enter without a sign as everywhere else.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

struct Simd {
    using Real = float32x4_t;
    using Int = int32x4_t;
    static constexpr std::size_t kWidth = 4;
    static constexpr std::size_t kRows = 6;  // of a product's tile: 24 sums stay in registers
    static constexpr std::size_t kVectors = 4;

    static Real load(const float* p) { return vld1q_f32(p); }
    static Real load_some(const float* p, std::size_t n) {
        float four[4] = {};
        std::memcpy(four, p, n * sizeof(float));
        return load(four);
    }
    static void store(float* p, Real v) { vst1q_f32(p, v); }
    static void store_some(float* p, Real v, std::size_t n) {
        float four[4];
        store(four, v);
        std::memcpy(p, four, n * sizeof(float));
    }
    static Real keep(Real v, std::size_t n) {
        const uint32x4_t lanes = {0, 1, 2, 3};
        return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), vcltq_u32(lanes, vdupq_n_u32(static_cast<std::uint32_t>(n)))));
    }
    static Real set(float v) { return vdupq_n_f32(v); }
    static Real add(Real a, Real b) { return vaddq_f32(a, b); }
    static Real sub(Real a, Real b) { return vsubq_f32(a, b); }
    static Real mul(Real a, Real b) { return vmulq_f32(a, b); }
    static Real div(Real a, Real b) { return vdivq_f32(a, b); }
    static Real fma(Real a, Real b, Real c) { return vfmaq_f32(c, a, b); }
    static Real max(Real a, Real b) { return vmaxq_f32(a, b); }
    static Real min(Real a, Real b) { return vminq_f32(a, b); }
    static Real abs(Real a) { return vabsq_f32(a); }
    static Real copy_sign(Real size, Real sign) { return vbslq_f32(vdupq_n_u32(0x80000000U), sign, size); }
    static Real round(Real a) { return vrndnq_f32(a); }
    static Real times_power_of_two(Real a, Real n) {
        const Int power = vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), 23);
        return vmulq_f32(a, vreinterpretq_f32_s32(power));
    }
    static float sum(Real a) { return vaddvq_f32(a); }
    static float largest(Real a) { return vmaxvq_f32(a); }

    static Int zero() { return vdupq_n_s32(0); }
    static int8x16_t load_codes(const std::int8_t* p) { return vld1q_s8(p); }
#ifdef __ARM_FEATURE_MATMUL_INT8
    static constexpr std::int32_t kShift = 0;
    static uint8x16_t load_inputs(const std::uint8_t* p) { return vld1q_u8(p); }
    static uint8x16_t spread(const std::uint8_t* p) { return vreinterpretq_u8_u32(vdupq_n_u32(four_codes(p))); }
    static Int dot(Int sum, uint8x16_t inputs, int8x16_t weights) { return vusdotq_s32(sum, inputs, weights); }
#else
    // Both factors of this dot product have a sign: codes enter less 128, and so does their zero.
    static constexpr std::int32_t kShift = 128;
    static int8x16_t load_inputs(const std::uint8_t* p) { return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(p), vdupq_n_u8(0x80))); }
    static int8x16_t spread(const std::uint8_t* p) { return vreinterpretq_s8_u32(vdupq_n_u32(four_codes(p) ^ 0x80808080U)); }
    static Int dot(Int sum, int8x16_t inputs, int8x16_t weights) { return vdotq_s32(sum, inputs, weights); }
#endif
    static int8x16_t spread_weights(const std::int8_t* p) {
        return vreinterpretq_s8_u32(vdupq_n_u32(four_codes(reinterpret_cast<const std::uint8_t*>(p))));
    }
    // Rows become columns: 4 registers of 4 numbers.
    static void transpose(Int (&rows)[4]) {
        const int64x2_t a = vreinterpretq_s64_s32(vtrn1q_s32(rows[0], rows[1])), b = vreinterpretq_s64_s32(vtrn2q_s32(rows[0], rows[1]));
        const int64x2_t c = vreinterpretq_s64_s32(vtrn1q_s32(rows[2], rows[3])), d = vreinterpretq_s64_s32(vtrn2q_s32(rows[2], rows[3]));
        rows[0] = vreinterpretq_s32_s64(vtrn1q_s64(a, c));
        rows[1] = vreinterpretq_s32_s64(vtrn1q_s64(b, d));
        rows[2] = vreinterpretq_s32_s64(vtrn2q_s64(a, c));
        rows[3] = vreinterpretq_s32_s64(vtrn2q_s64(b, d));
    }
    static Int load_sums(const std::int32_t* p) { return vld1q_s32(p); }
    static void store_sums(std::int32_t* p, Int v) { vst1q_s32(p, v); }
    static Real to_real(Int sum, Int column_sums, float zero) {
        const Real whole = vcvtq_f32_s32(vmlaq_n_s32(sum, column_sums, kShift));
        return vfmsq_f32(whole, set(zero), vcvtq_f32_s32(column_sums));
    }
    static void store_codes(std::uint8_t* p, Real v, std::size_t n) {
        const uint16x4_t words = vmovn_u32(vcvtnq_u32_f32(v));
        std::uint8_t eight[8];
        vst1_u8(eight, vmovn_u16(vcombine_u16(words, words)));
        std::memcpy(p, eight, n < 4 ? n : 4);
    }
    struct Pairs {
        Real even, odd;
    };
    static Pairs split(uint32x4_t pairs) {
        const uint32x4_t odd = vandq_u32(pairs, vdupq_n_u32(0xFFFF0000U));
        return {vreinterpretq_f32_u32(vshlq_n_u32(pairs, 16)), vreinterpretq_f32_u32(odd)};
    }
    static Pairs load_pairs(const std::uint16_t* p) { return split(vreinterpretq_u32_u16(vld1q_u16(p))); }
    static Pairs spread_pair(const std::uint16_t* p) {
        std::uint32_t two;
        std::memcpy(&two, p, sizeof two);
        return split(vdupq_n_u32(two));
    }
    static Real dot_pairs(Real sum, Pairs inputs, Pairs weights) {
        return fma(inputs.odd, weights.odd, fma(inputs.even, weights.even, sum));
    }
    static void store_halves(std::uint16_t* p, Real v, std::size_t n) {
        const uint32x4_t bits = vreinterpretq_u32_f32(v);
        const uint32x4_t tie = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
        std::uint16_t four[4];
        vst1_u16(four, vshrn_n_u32(vaddq_u32(bits, vaddq_u32(tie, vdupq_n_u32(0x7FFF))), 16));
        std::memcpy(p, four, 2 * (n < 4 ? n : 4));
    }
    static Real load_halves(const std::uint16_t* p, std::size_t n) {
        std::uint16_t four[4] = {};
        std::memcpy(four, p, 2 * (n < 4 ? n : 4));
        return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(four), 16));
    }
    static Real load_bytes(const std::int8_t* p, std::size_t n) {
        std::int8_t eight[8] = {};
        std::memcpy(eight, p, n < 4 ? n : 4);
        return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vld1_s8(eight)))));
    }

  private:
    static std::uint32_t four_codes(const std::uint8_t* p) {
        std::uint32_t four;
        std::memcpy(&four, p, sizeof four);
        return four;
    }
};
