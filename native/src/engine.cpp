#include "engine.hpp"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#ifdef __linux__
#include <pthread.h>
#include <sched.h>
#endif

namespace thinfer {

namespace {

// Tokens that go through the model together: enough rows for each weight that is read, few enough for what
// lies between two steps to stay in the second cache. A tile unit is done with a weight sooner.
std::size_t chunk_tokens(const Kernels& kernels, const Model& model) {
    if (!kernels.has_tiles) return 96;
    return std::clamp<std::size_t>(196608 / model.hidden, 128, 512);
}

std::size_t count_work(const Model& model) {
    std::size_t work = 0;  // of a token
    for (const Layer& layer : model.layers) {
        if (layer.heads > 0) work += model.hidden * (layer.row() + layer.values());
        work += 2 * model.hidden * layer.ffn;
    }
    return work;
}

// Cuts a batch between sequences into at most `count` parts of about as many tokens each.
std::vector<Work> cut(const std::int64_t* ids, const std::int64_t* types, const std::int64_t* offsets,
                      std::size_t sequences, std::size_t classes, float* logits, std::size_t count) {
    std::vector<Work> chunks;
    const auto tokens = static_cast<std::size_t>(offsets[sequences]);
    std::size_t begin = 0, part = 1;
    for (std::size_t at = 1; at <= sequences; ++at) {
        const auto end = static_cast<std::size_t>(offsets[at]);
        if (at < sequences && end * count < tokens * part) continue;
        chunks.push_back({ids + offsets[begin], types + offsets[begin], offsets + begin, at - begin,
                          logits + begin * classes});
        begin = at;
        part = end * count / tokens + 1;
    }
    return chunks;
}

}  // namespace

// Threads that wait asleep; a call takes those that are free, and its own.
class Engine::Pool {
  public:
    explicit Pool(std::size_t threads) {
        for (std::size_t at = 1; at < threads; ++at) threads_.emplace_back([this] { serve(); });
    }

    ~Pool() {
        {
            const std::lock_guard lock(mutex_);
            is_closing_ = true;
        }
        wake_.notify_all();
        for (std::thread& thread : threads_) thread.join();
    }

    std::size_t size() const { return threads_.size() + 1; }

    // Calls `part(rank)` on `ranks` threads, the caller's being rank 0, and says whether it did: one
    // call at a time has the helpers, so that the ranks of a team always run together. A second
    // call that comes meanwhile has cores enough to do with its own thread.
    bool share(std::size_t ranks, const std::function<void(std::size_t)>& part) {
        const std::unique_lock turn(turn_, std::try_to_lock);
        if (!turn.owns_lock()) return false;
        keep_off_my_core();
        {
            const std::lock_guard lock(mutex_);
            part_ = &part;
            next_rank_ = 1;
            ranks_ = ranks;
            left_ = ranks - 1;
        }
        wake_.notify_all();
        std::exception_ptr failure;
        try {
            part(0);
        } catch (...) {
            failure = std::current_exception();  // thrown on once no helper uses `part` any more
        }
        std::unique_lock lock(mutex_);
        left_ -= ranks_ - next_rank_;  // a helper that has not come by now has nothing left to do
        ranks_ = next_rank_;
        done_.wait(lock, [this] { return left_ == 0; });
        part_ = nullptr;
        if (failure == nullptr) failure = std::exchange(failure_, nullptr);
        failure_ = nullptr;
        if (failure != nullptr) std::rethrow_exception(failure);
        return true;
    }

    std::unique_ptr<Scratch> borrow() {
        const std::lock_guard lock(mutex_);
        if (scratches_.empty()) return std::make_unique<Scratch>();
        auto scratch = std::move(scratches_.back());
        scratches_.pop_back();
        return scratch;
    }

    void give_back(std::unique_ptr<Scratch> scratch) {
        const std::lock_guard lock(mutex_);
        scratches_.push_back(std::move(scratch));
    }

  private:
    // A waking thread is often put on the core of the one that woke it, which spins there for it at
    // the next barrier: both then crawl, at a fifth of the speed, until the scheduler moves one.
    void keep_off_my_core() {
#ifdef __linux__
        const int core = ::sched_getcpu();
        if (core == core_ || core < 0) return;
        core_ = core;
        cpu_set_t cores;
        if (::sched_getaffinity(0, sizeof cores, &cores) != 0) return;
        if (static_cast<std::size_t>(CPU_COUNT(&cores)) < size()) return;
        CPU_CLR(static_cast<std::size_t>(core), &cores);
        for (std::thread& thread : threads_) ::pthread_setaffinity_np(thread.native_handle(), sizeof cores, &cores);
#endif
    }

    void serve() {
        std::unique_lock lock(mutex_);
        while (true) {
            wake_.wait(lock, [this] { return is_closing_ || (part_ != nullptr && next_rank_ < ranks_); });
            if (is_closing_) return;
            const std::size_t rank = next_rank_++;
            const auto& part = *part_;
            lock.unlock();
            std::exception_ptr failure;
            try {
                part(rank);
            } catch (...) {
                failure = std::current_exception();  // the caller's to handle
            }
            lock.lock();
            if (failure != nullptr) failure_ = failure;
            if (--left_ == 0) done_.notify_all();
        }
    }

    std::vector<std::thread> threads_;
    std::vector<std::unique_ptr<Scratch>> scratches_;
    std::mutex turn_, mutex_;
    std::condition_variable wake_, done_;
    const std::function<void(std::size_t)>* part_ = nullptr;
    std::size_t next_rank_ = 0, ranks_ = 0, left_ = 0;
    std::exception_ptr failure_;  // of a helper in this call
    bool is_closing_ = false;
    int core_ = -1;  // of the caller before; under `turn_`
};

Engine::Engine(const std::string& path, std::size_t threads, const std::string& isa, std::size_t shared_work)
    : file_(path), model_(read_model(file_.data(), file_.size())), kernels_(choose_kernels(isa)),
      sparse_(choose_sparse(model_, kernels_, zeros_)), shared_work_(shared_work),
      pool_(std::make_unique<Pool>(std::max<std::size_t>(1, threads))) {}

Engine::~Engine() = default;

void Engine::check(const std::int64_t* ids, const std::int64_t* types, const std::int64_t* offsets,
                   std::size_t sequences, std::size_t tokens) const {
    if (offsets[0] != 0 || static_cast<std::size_t>(offsets[sequences]) != tokens) {
        throw BatchError("the offsets do not run from 0 to the number of tokens");
    }
    for (std::size_t at = 0; at < sequences; ++at) {
        // Compared before they are subtracted: a difference of two wild numbers may not exist.
        const bool is_rising = offsets[at + 1] > offsets[at] && static_cast<std::size_t>(offsets[at + 1]) <= tokens;
        const std::int64_t length = is_rising ? offsets[at + 1] - offsets[at] : 0;
        if (length < 1 || static_cast<std::size_t>(length) > model_.positions) {
            throw BatchError("sequence " + std::to_string(at) + " has " + std::to_string(length) +
                             " tokens; 1 to " + std::to_string(model_.positions) + " are possible");
        }
    }
    for (std::size_t at = 0; at < tokens; ++at) {
        const bool is_good = ids[at] >= 0 && static_cast<std::size_t>(ids[at]) < model_.vocab &&
                             types[at] >= 0 && static_cast<std::size_t>(types[at]) < model_.types;
        if (!is_good) throw BatchError("token " + std::to_string(at) + " has an id that is out of range");
    }
}

void Engine::run(const std::int64_t* ids, const std::int64_t* types, const std::int64_t* offsets,
                 std::size_t sequences, std::size_t tokens, float* logits) {
    check(ids, types, offsets, sequences, tokens);
    if (sequences == 0) return;
    const std::size_t threads = pool_->size();
    // As many chunks as every thread can take equally often.
    const std::size_t chunk = chunk_tokens(kernels_, model_);
    const std::size_t count = round_up((tokens + chunk - 1) / chunk, threads);
    const std::vector<Work> chunks = cut(ids, types, offsets, sequences, model_.classes, logits, count);
    std::atomic<std::size_t> next{0};
    const auto take_chunks = [&](std::size_t) {
        auto scratch = pool_->borrow();
        for (std::size_t at = next++; at < chunks.size(); at = next++) {
            Team alone(1);
            kernels_.run(model_, chunks[at], lay_out(model_, chunks[at], 1, *scratch), alone, 0);
        }
        pool_->give_back(std::move(scratch));
    };
    bool is_done = false;
    if (threads > 1 && chunks.size() > 1) {
        is_done = pool_->share(std::min(threads, chunks.size()), take_chunks);
    } else if (threads > 1 && tokens * count_work(model_) >= shared_work_) {
        auto scratch = pool_->borrow();
        Team team(threads);
        const Buffers buffers = lay_out(model_, chunks[0], threads, *scratch);
        is_done = pool_->share(threads, [&](std::size_t rank) {
            kernels_.run(model_, chunks[0], buffers, team, rank);
        });
        pool_->give_back(std::move(scratch));
    }
    if (!is_done) take_chunks(0);
}

StepTimes Engine::time_steps(const std::int64_t* ids, const std::int64_t* types, const std::int64_t* offsets,
                             std::size_t sequences, std::size_t tokens, float* logits) {
    check(ids, types, offsets, sequences, tokens);
    StepTimes times;
    if (sequences == 0) return times;
    const std::size_t chunk_size = chunk_tokens(kernels_, model_);
    const std::size_t count = (tokens + chunk_size - 1) / chunk_size;
    auto scratch = pool_->borrow();
    for (Work& chunk : cut(ids, types, offsets, sequences, model_.classes, logits, count)) {
        chunk.times = &times;
        Team alone(1);
        kernels_.run(model_, chunk, lay_out(model_, chunk, 1, *scratch), alone, 0);
    }
    pool_->give_back(std::move(scratch));
    return times;
}

}  // namespace thinfer
