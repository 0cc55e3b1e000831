// Where rows wait between the two products of a block, and in which form.

// How what lies between the two products of a block waits for the second one: in floats that are
// rounded there; or, on a tile unit, in FP16 that becomes codes, or in BF16 that is read as it is.
enum class Waiting { reals, shorts, halves };

inline Waiting wait_for(const Matrix& reader) {
    if (!kHasTiles || !reader.is_rounded()) return Waiting::reals;
    return reader.i8 != nullptr ? Waiting::shorts : Waiting::halves;
}

// Rows that wait: one after another (`panel` is a panel's width then), or a panel of all rows before the next,
// so that a product writes to memory in order.
template <Waiting waiting>
struct Shelf {
    void* data;
    std::size_t row, panel;  // numbers from a row, and from a row's panel, to its next
    const float* smoothing;

    void put(std::size_t index, std::size_t column, Real value, std::size_t n) const {
        const std::size_t at = index * row + column / kPanel * panel + column % kPanel;
        if constexpr (waiting == Waiting::reals) {
            Simd::store_some(static_cast<float*>(data) + at, value, n);
        } else if constexpr (waiting == Waiting::halves) {
            Simd::store_halves(static_cast<std::uint16_t*>(data) + at, value, n);
        } else {
#ifdef THINFER_TILES
            const Real smooth = Simd::mul(value, Simd::load_some(smoothing + column, n));
            Simd::store_shorts(static_cast<std::uint16_t*>(data) + at, smooth, n);
#endif
        }
    }
};

// Rows of BF16 that are inputs at once.
struct InputShelf {
    std::uint8_t* codes;
    std::size_t row_bytes;

    void put(std::size_t row, std::size_t column, Real value, std::size_t n) const {
        std::uint8_t* place = codes + row_place(row, row_bytes) + byte_place(sizeof(std::uint16_t) * column);
        Simd::store_halves(reinterpret_cast<std::uint16_t*>(place), value, n);
    }
};
