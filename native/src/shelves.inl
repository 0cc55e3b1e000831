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

    // A panel's row.
    void put_both(std::size_t index, std::size_t column, Real left, Real right) const {
#ifdef THINFER_TILES
        if constexpr (waiting == Waiting::halves) {
            return Simd::store_both_halves(static_cast<std::uint16_t*>(data) + index * row + column / kPanel * panel, left, right);
        }
#endif
        put(index, column, left, kWidth);
        put(index, column + kWidth, right, kWidth);
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

// What a product's values pass on their way to a shelf.
template <class OntoShelf, class Place, class Change>
struct Putting {
    OntoShelf shelf;
    Place place;
    Change change;

    void operator()(std::size_t row, std::size_t column, Real value) const { shelf.put(place(row), column, change(value), kWidth); }
    void both(std::size_t row, std::size_t column, Real left, Real right) const { shelf.put_both(place(row), column, change(left), change(right)); }
};

#if defined(THINFER_TILES) && defined(__AVX512FP16__)
// The factors of a shelf in FP16; false where one is too large or too small to be one.
inline bool shorten_smoothing(const float* smoothing, Range columns, std::uint16_t* shorts) {
    bool is_usual = true;
    for (std::size_t at = columns.begin; at < columns.end; at += kWidth) {
        const Real factors = Simd::load(smoothing + at);
        is_usual = is_usual && Simd::are_within(factors, 1.0F / 1024, 1024.0F);
        Simd::store_shorts(shorts + at - columns.begin, factors, kWidth);
    }
    return is_usual;
}

// Puts GELU of a panel's rows onto a shelf, all of it in FP16.
struct PuttingShortGelu {
    Shelf<Waiting::shorts> shelf;
    const std::uint16_t* smoothing;  // of the columns from `first` on
    std::size_t first;

    void operator()(std::size_t row, std::size_t column, Real value) const { shelf.put(row, column, rough_gelu(value), kWidth); }
    void both(std::size_t row, std::size_t column, Real left, Real right) const {
        std::uint16_t* place = static_cast<std::uint16_t*>(shelf.data) + row * shelf.row + column / kPanel * shelf.panel;
        const Simd::Short factors = Simd::load_short(smoothing + column - first);
        Simd::store_short(place, Simd::mul(rough_gelu(Simd::shorten(left, right)), factors));
    }
};
#endif
