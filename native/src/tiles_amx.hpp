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

    void clear() {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }

    // Adds 64 inputs: codes [32, 64] a `stride` apart and 16 groups of a panel, [16][32][4]. Without
    // `is_tall` only the first 16 rows count.
    void add(const std::uint8_t* codes, std::size_t stride, const std::int8_t* weights, bool is_tall) {
        asm volatile("" : : : "memory");
        _tile_loadd(6, weights, 128);
        _tile_loadd(7, weights + 64, 128);
        _tile_loadd(4, codes, stride);
        _tile_dpbusd(0, 4, 6);
        _tile_dpbusd(1, 4, 7);
        if (!is_tall) return;
        _tile_loadd(5, codes + 16 * stride, stride);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
    }

    // Writes the sums, [32, 32].
    void store(std::int32_t* target) {
        _tile_stored(0, target, 128);
        _tile_stored(1, target + 16, 128);
        _tile_stored(2, target + 16 * 32, 128);
        _tile_stored(3, target + 16 * 32 + 16, 128);
    }
};
