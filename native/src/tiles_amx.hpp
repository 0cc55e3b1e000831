// The tile unit of AMX: 2 x 2 tiles of sums, 32 rows by the 32 columns of a panel.
//
// The intrinsics of gcc 12 neither say that a load reads memory nor that the configuration is read
// whole; the empty `asm` statements keep what was stored before where it belongs.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

class Tiles {
  public:
    static constexpr std::size_t kRows = 32;

    Tiles() {
        struct alignas(64) Configuration {
            std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
            std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
            std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
        } configuration;
        static_assert(sizeof configuration == 64);
        asm volatile("" : : "r"(&configuration) : "memory");
        _tile_loadconfig(&configuration);
    }
    ~Tiles() { _tile_release(); }
    Tiles(const Tiles&) = delete;
    Tiles& operator=(const Tiles&) = delete;

    // Sees to it that everything stored so far is in memory before the next load reads it.
    void await() { asm volatile("" : : : "memory"); }

    void clear() {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }

    // Goes on from sums that were stored.
    void resume(const void* source, std::size_t stride, bool is_tall) {
        const auto* place = static_cast<const std::uint8_t*>(source);
        _tile_loadd(0, place, stride);
        _tile_loadd(1, place + 64, stride);
        if (!is_tall) return;
        _tile_loadd(2, place + 16 * stride, stride);
        _tile_loadd(3, place + 16 * stride + 64, stride);
    }

    // Adds 64 bytes of inputs: rows [32, 64] a `stride` apart and two halves of 16 columns, [16][64]
    // each, their rows `step` bytes apart. Without `is_tall` only the first 16 rows count. `Passing` is what
    // will not be read again soon: it should not push the other out of the first cache.
    template <Kind kind, Passing passing>
    void add(const void* rows, std::size_t stride, const void* left, const void* right, std::size_t step, bool is_tall) {
        load_left<passing>(left, step);
        load_top<passing>(rows, stride);
        load_right<passing>(right, step);
        if constexpr (kind == Kind::int8) {
            _tile_dpbusd(0, 4, 6);
            _tile_dpbusd(1, 4, 7);
        } else {
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
        }
        if (!is_tall) return;
        load_bottom<passing>(rows, stride);
        if constexpr (kind == Kind::int8) {
            _tile_dpbusd(2, 5, 6);
            _tile_dpbusd(3, 5, 7);
        } else {
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    }

    // The same where one of the two halves may be all zeros: `sides` has 1 for the left and 2 for the right.
    template <Kind kind, Passing passing>
    void add_some(const void* rows, std::size_t stride, const void* left, const void* right, std::size_t step, bool is_tall, unsigned sides) {
        static_assert(kind == Kind::int8);
        if (sides == 3) return add<kind, passing>(rows, stride, left, right, step, is_tall);
        load_top<passing>(rows, stride);
        if (is_tall) load_bottom<passing>(rows, stride);
        if (sides == 1) {
            load_left<passing>(left, step);
            _tile_dpbusd(0, 4, 6);
            if (is_tall) _tile_dpbusd(2, 5, 6);
        } else {
            load_right<passing>(right, step);
            _tile_dpbusd(1, 4, 7);
            if (is_tall) _tile_dpbusd(3, 5, 7);
        }
    }

    // Writes the sums, [32, 32] of four bytes, their rows `stride` bytes apart; the first 16 rows without `is_tall`.
    void store(void* target, std::size_t stride, bool is_tall) {
        auto* place = static_cast<std::uint8_t*>(target);
        _tile_stored(0, place, stride);
        _tile_stored(1, place + 64, stride);
        if (!is_tall) return;
        _tile_stored(2, place + 16 * stride, stride);
        _tile_stored(3, place + 16 * stride + 64, stride);
    }

    // Products of tiles in a row, for the peak: 64 steps of four.
    void spin() {
        for (int at = 0; at < 64; ++at) {
            _tile_dpbusd(0, 4, 6);
            _tile_dpbusd(1, 4, 7);
            _tile_dpbusd(2, 5, 6);
            _tile_dpbusd(3, 5, 7);
        }
    }

  private:
    // The intrinsics of gcc 12 take a tile's number as it is written, not as a parameter.
    template <Passing passing>
    static void load_top(const void* rows, std::size_t stride) {
        if constexpr (passing == Passing::rows) {
            _tile_stream_loadd(4, rows, stride);
        } else {
            _tile_loadd(4, rows, stride);
        }
    }

    template <Passing passing>
    static void load_bottom(const void* rows, std::size_t stride) {
        const auto* place = static_cast<const std::uint8_t*>(rows) + 16 * stride;
        if constexpr (passing == Passing::rows) {
            _tile_stream_loadd(5, place, stride);
        } else {
            _tile_loadd(5, place, stride);
        }
    }

    template <Passing passing>
    static void load_left(const void* weights, std::size_t step) {
        if constexpr (passing == Passing::weights) {
            _tile_stream_loadd(6, weights, step);
        } else {
            _tile_loadd(6, weights, step);
        }
    }

    template <Passing passing>
    static void load_right(const void* weights, std::size_t step) {
        if constexpr (passing == Passing::weights) {
            _tile_stream_loadd(7, weights, step);
        } else {
            _tile_loadd(7, weights, step);
        }
    }
};
