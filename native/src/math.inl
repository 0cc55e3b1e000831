// Elementwise functions of a register, each with its error.

// exp(x) for x <= 88, relative error below 2e-7 (Cephes' polynomial).
inline Real exponential(Real x) {
    x = Simd::max(x, Simd::set(-87.0F));
    const Real n = Simd::round(Simd::mul(x, Simd::set(1.44269504F)));
    Real r = Simd::fma(n, Simd::set(-0.693359375F), x);
    r = Simd::fma(n, Simd::set(2.12194440e-4F), r);
    Real p = Simd::set(1.9875691500e-4F);
    p = Simd::fma(p, r, Simd::set(1.3981999507e-3F));
    p = Simd::fma(p, r, Simd::set(8.3334519073e-3F));
    p = Simd::fma(p, r, Simd::set(4.1665795894e-2F));
    p = Simd::fma(p, r, Simd::set(1.6666665459e-1F));
    p = Simd::fma(p, r, Simd::set(5.0000001201e-1F));
    p = Simd::fma(p, Simd::mul(r, r), Simd::add(r, Simd::set(1.0F)));
    return Simd::times_power_of_two(p, n);
}

// erf(x), absolute error below 4e-6: erf(x) / x as a polynomial in t = 2 (x / 3.3)² - 1, least
// squares at Chebyshev points; beyond 3.3 it is 1. No exponential and no division, which would
// cost as much as the product that made x (docs/why/21-native-engine.md).
inline Real error_function(Real x) {
    const Real size = Simd::min(Simd::abs(x), Simd::set(3.3F));
    const Real t = Simd::fma(Simd::mul(size, size), Simd::set(0.183654726F), Simd::set(-1.0F));
    Real p = Simd::set(0.00348566659F);
    p = Simd::fma(p, t, Simd::set(-0.0093987491F));
    p = Simd::fma(p, t, Simd::set(0.0115250098F));
    p = Simd::fma(p, t, Simd::set(-0.0179817192F));
    p = Simd::fma(p, t, Simd::set(0.0362797007F));
    p = Simd::fma(p, t, Simd::set(-0.0591647923F));
    p = Simd::fma(p, t, Simd::set(0.084206149F));
    p = Simd::fma(p, t, Simd::set(-0.114477411F));
    p = Simd::fma(p, t, Simd::set(0.15206179F));
    p = Simd::fma(p, t, Simd::set(-0.211641446F));
    p = Simd::fma(p, t, Simd::set(0.428135782F));
    return Simd::copy_sign(Simd::mul(p, size), x);
}

#ifdef THINFER_TILES
// 2^x for -126 <= x <= 126, as 2^-126 below; relative error below 8e-5, a fiftieth of what rounding to BF16
// takes. A least-maximum polynomial on [-1/2, 1/2]; the whole part goes from a large sum's last bits into the exponent.
inline Real rough_power_of_two(Real x) {
    const Real large = Simd::set(12582912.0F);  // 1.5 * 2^23
    const Real bounded = Simd::max(x, Simd::set(-126.0F));
    const Real shifted = Simd::add(bounded, large);
    const Real r = Simd::sub(bounded, Simd::sub(shifted, large));
    Real p = Simd::set(0.05517172F);
    p = Simd::fma(p, r, Simd::set(0.24261125F));
    p = Simd::fma(p, r, Simd::set(0.69326098F));
    p = Simd::fma(p, r, Simd::set(0.99992805F));
    return Simd::add_exponent(p, shifted);
}

// GELU where the result becomes a code of eight bits, absolute error below 1.6e-4, which is a hundredth
// of a usual code's step: max(x, 0) - z q(z) with z = min(|x|, 3.9), q least-maximum for the normal tail.
inline Real rough_gelu(Real x) {
    const Real z = Simd::bounded_size(x, 3.9F);
    Real q = Simd::set(-0.000686553365F);
    q = Simd::fma(q, z, Simd::set(0.0104904668F));
    q = Simd::fma(q, z, Simd::set(-0.0604670271F));
    q = Simd::fma(q, z, Simd::set(0.147275031F));
    q = Simd::fma(q, z, Simd::set(-0.0521833561F));
    q = Simd::fma(q, z, Simd::set(-0.385195434F));
    q = Simd::fma(q, z, Simd::set(0.499329567F));
    return Simd::fnma(z, q, Simd::max(x, Simd::set(0.0F)));
}

#ifdef __AVX512FP16__
// The same in FP16, 32 numbers at a time: error below 4.5e-4 where x <= 0, and above that within what rounding the result
// takes. max(x, 0) - z q(z) loses too many digits there; max(x, 0) + p(t), t = 17/32 z - 1 in -1 … 1, does not.
inline Simd::Short rough_gelu(Simd::Short x) {
    const Simd::Short z = Simd::bounded_size(x, Simd::set_short(3.765625F));
    const Simd::Short t = Simd::fma(z, Simd::set_short(0.53125F), Simd::set_short(-1.0F));
    Simd::Short p = Simd::set_short(0.062469482421875F);
    p = Simd::fma(p, t, Simd::set_short(-0.063232421875F));
    p = Simd::fma(p, t, Simd::set_short(-0.1717529296875F));
    p = Simd::fma(p, t, Simd::set_short(0.306884765625F));
    p = Simd::fma(p, t, Simd::set_short(-0.07562255859375F));
    p = Simd::fma(p, t, Simd::set_short(-0.1876220703125F));
    p = Simd::fma(p, t, Simd::set_short(0.184814453125F));
    p = Simd::fma(p, t, Simd::set_short(-0.05621337890625F));
    return Simd::add(Simd::positive(x), p);
}
#endif
#endif

inline Real sigmoid(Real x) {
    const Real fading = exponential(Simd::sub(Simd::set(0.0F), Simd::abs(x)));
    const Real small = Simd::div(fading, Simd::add(Simd::set(1.0F), fading));  // of -|x|
    // sigmoid(x) = 1/2 + sign(x) (1/2 - sigmoid(-|x|))
    return Simd::add(Simd::set(0.5F), Simd::copy_sign(Simd::sub(Simd::set(0.5F), small), x));
}

inline Real hyperbolic_tangent(Real x) {
    return Simd::fma(Simd::set(2.0F), sigmoid(Simd::add(x, x)), Simd::set(-1.0F));
}

template <Activation kind>
inline Real activate(Real x) {
    if constexpr (kind == Activation::gelu) {
        const Real erf = error_function(Simd::mul(x, Simd::set(0.70710678F)));
        const Real half = Simd::mul(x, Simd::set(0.5F));
        return Simd::fma(half, erf, half);
    } else if constexpr (kind == Activation::gelu_tanh) {
        const Real cube = Simd::mul(Simd::mul(x, x), x);
        const Real inner = Simd::mul(Simd::set(0.79788456F), Simd::fma(cube, Simd::set(0.044715F), x));
        const Real half = Simd::mul(x, Simd::set(0.5F));
        return Simd::fma(half, hyperbolic_tangent(inner), half);
    } else if constexpr (kind == Activation::relu) {
        return Simd::max(x, Simd::set(0.0F));
    } else if constexpr (kind == Activation::tanh) {
        return hyperbolic_tangent(x);
    } else {
        return Simd::mul(x, sigmoid(x));
    }
}

inline Real activate_other(Activation kind, Real x) {
    switch (kind) {
        case Activation::gelu: break;
        case Activation::gelu_tanh: return activate<Activation::gelu_tanh>(x);
        case Activation::relu: return activate<Activation::relu>(x);
        case Activation::tanh: return activate<Activation::tanh>(x);
        case Activation::silu: return activate<Activation::silu>(x);
    }
    return activate<Activation::gelu>(x);
}
