// Opens a weight file and runs packed batches on it, with threads of its own.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "format.hpp"
#include "kernels.hpp"
#include "sparsity.hpp"

namespace thinfer {

struct BatchError : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

// One chunk of at least so many multiply-accumulates, about a millisecond, is shared out inside its
// products. Below that the gain is small, and on a busy machine a rank that lost its core makes the
// others wait at the next barrier for many times what was to be gained.
constexpr std::size_t kSharedWork = 500'000'000;

class Engine {
  public:
    // `isa` empty: the fastest that this processor has. Throws FormatError, KernelsError.
    Engine(const std::string& path, std::size_t threads, const std::string& isa, std::size_t shared_work = kSharedWork);
    ~Engine();

    // Logits [sequences, classes] of a packed batch; `offsets` has sequences + 1 numbers from 0 to
    // the number of tokens. May be called from several threads. Throws BatchError.
    void run(const std::int64_t* ids, const std::int64_t* types, const std::int64_t* offsets,
             std::size_t sequences, std::size_t tokens, float* logits);

    // The same on the caller's thread alone, with the seconds that each step took.
    StepTimes time_steps(const std::int64_t* ids, const std::int64_t* types, const std::int64_t* offsets,
                         std::size_t sequences, std::size_t tokens, float* logits);

    // INT8 multiply-accumulates in a second that these kernels could do on one thread; 0: not known.
    double measure_peak() const { return kernels_.measure_peak == nullptr ? 0.0 : kernels_.measure_peak(); }
    const Model& model() const { return model_; }
    const char* isa() const { return kernels_.name; }
    // Matrices with enough zeros to be tried without them.
    const std::vector<SparseChoice>& sparse() const { return sparse_; }

  private:
    class Pool;
    void check(const std::int64_t* ids, const std::int64_t* types, const std::int64_t* offsets,
               std::size_t sequences, std::size_t tokens) const;

    MappedFile file_;
    Model model_;
    const Kernels& kernels_;
    ZeroStore zeros_;
    std::vector<SparseChoice> sparse_;
    std::size_t shared_work_;
    std::unique_ptr<Pool> pool_;
};

}  // namespace thinfer
