// Rows that wait in FP16 to become codes: half the memory of floats, and twice as many in a register.

// Rows in FP16: in pieces of 32 numbers, `panel` numbers apart, a row's first piece `row` numbers after the last row's.
struct Shorts {
    const std::uint16_t* data;
    std::size_t row, panel;
};

// Codes 0 ... 255 of at most 32 rows, each over its own range; 0 is among the values that lose nothing.
// A piece of all rows is read before the next one, which is how they lie in memory.
inline void codes_of_shorts(const Shorts& shorts, std::size_t rows, std::size_t count, std::uint8_t* const* codes, Rounding* rounding) {
    constexpr std::size_t kPiece = 2 * kWidth;
    static_assert(kPiece == kPanel);
    // As whole numbers, positive halves are in order, and of all others the most negative is the largest.
    Simd::Int high[Tiles::kRows], low[Tiles::kRows];
    for (std::size_t r = 0; r < rows; ++r) high[r] = low[r] = Simd::zero();
    const std::uint16_t* piece = shorts.data;
    for (std::size_t at = 0; at < count; at += kPiece, piece += shorts.panel) {
        const std::size_t n = at_most(count - at, kPiece);
        for (std::size_t r = 0; r < rows; ++r) {
            const auto some = Simd::load_some_halves(piece + r * shorts.row, n);
            high[r] = Simd::largest_halves(high[r], some);
            low[r] = Simd::largest_bits(low[r], some);
        }
    }
    Simd::Scale scales[Tiles::kRows];
    for (std::size_t r = 0; r < rows; ++r) {
        const float most = Simd::widest_half(high[r], false), least = Simd::widest_half(low[r], true);
        scales[r] = Simd::Scale(least, most);
        rounding[r] = {scales[r].step(), scales[r].zero()};
        clear_end(codes[r], count);
    }
    piece = shorts.data;
    for (std::size_t at = 0; at < count; at += kPiece, piece += shorts.panel) {
        const std::size_t n = at_most(count - at, kPiece), place = byte_place(at);
        for (std::size_t r = 0; r < rows; ++r) scales[r].store(codes[r] + place, piece + r * shorts.row, n);
    }
}

// A row of BF16 as inputs.
inline void copy_halves(const std::uint16_t* row, std::size_t count, std::uint8_t* codes) {
    for (std::size_t at = 0; at < count; at += kPanel) {
        const std::size_t bytes = sizeof(std::uint16_t) * (count - at < kPanel ? count - at : kPanel);
        std::memcpy(codes + byte_place(sizeof(std::uint16_t) * at), row + at, bytes);
    }
    clear_end(codes, sizeof(std::uint16_t) * count);
}
