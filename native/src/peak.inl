// What the instruction set could do at most: INT8 products of registers, nothing read from memory.

// Keeps the optimiser from noticing that a register holds the same value in every turn.
template <class Register>
inline void touch(Register& value) {
#if defined(__aarch64__)
    asm volatile("" : "+w"(value));
#elif defined(__x86_64__)
    asm volatile("" : "+x"(value));
#else
    asm volatile("" : "+m"(value));
#endif
}

// Twice as many chains of sums as a processor starts in the time that one sum takes.
template <std::size_t chains>
[[gnu::noinline]] void spin(const std::uint8_t* codes, const std::int8_t* weights, std::size_t turns, Simd::Int* target) {
    Simd::Int sums[chains];
#pragma GCC unroll 16
    for (std::size_t at = 0; at < chains; ++at) sums[at] = Simd::zero();
    auto input = Simd::spread(codes);
    auto wide = Simd::load_codes(weights);
    for (std::size_t turn = 0; turn < turns; ++turn) {
#pragma GCC unroll 16
        for (std::size_t at = 0; at < chains; ++at) {
            touch(input);
            sums[at] = Simd::dot(sums[at], input, wide);
        }
    }
#pragma GCC unroll 16
    for (std::size_t at = 0; at < chains; ++at) target[at] = sums[at];
}

// The best of some short runs: a busy machine can only make it less.
inline double measure_peak() {
    constexpr std::size_t kChains = 12, kTurns = 100'000, kRepeats = 40;
    alignas(64) const std::uint8_t codes[64] = {1};
    alignas(64) const std::int8_t weights[64 * 4] = {1};
    Simd::Int target[kChains];
    double best = 1e9;
    for (std::size_t at = 0; at < kRepeats; ++at) {
        const double start = read_clock();
        spin<kChains>(codes, weights, kTurns, target);
        const double taken = read_clock() - start;
        if (taken < best) best = taken;
    }
    return static_cast<double>(kChains * kTurns * kWidth * kGroup) / best;
}
