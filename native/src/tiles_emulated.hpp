// What `tiles_amx.hpp` does, in plain C++: tests of the code around the tiles run where there are none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

class Tiles {
  public:
    static constexpr std::size_t kRows = 32;

    void clear() { std::memset(sums_, 0, sizeof sums_); }

    void add(const std::uint8_t* codes, std::size_t stride, const std::int8_t* weights, bool is_tall) {
        for (std::size_t row = 0; row < (is_tall ? 32 : 16); ++row) {
            for (std::size_t at = 0; at < 64; ++at) {
                for (std::size_t column = 0; column < 32; ++column) {
                    const std::int8_t weight = weights[at / 4 * 128 + column * 4 + at % 4];
                    sums_[row][column] += std::int32_t{codes[row * stride + at]} * std::int32_t{weight};
                }
            }
        }
    }

    void store(std::int32_t* target) { std::memcpy(target, sums_, sizeof sums_); }

  private:
    std::int32_t sums_[32][32];
};
