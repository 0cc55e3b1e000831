// Reading `model.thinfer`: a header of little-endian 32-bit numbers, then arrays at multiples of 64.
#pragma once

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>

#include "model.hpp"

namespace thinfer {

struct FormatError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A file mapped for reading; several processes share its pages.
class MappedFile {
  public:
    explicit MappedFile(const std::string& path);
    ~MappedFile();
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    const std::byte* data() const { return data_; }
    std::size_t size() const { return size_; }

  private:
    const std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

// Checks every size before it is used; `data` must be 64-byte aligned and outlive the model.
Model read_model(const std::byte* data, std::size_t size);

}  // namespace thinfer
