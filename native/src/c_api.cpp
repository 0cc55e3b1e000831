// The C door: no exception passes it.
#include <algorithm>
#include <exception>
#include <string>
#include <vector>

#include "engine.hpp"
#include "thinfer.h"

struct thinfer_engine {
    thinfer::Engine engine;
};

namespace {

thread_local std::string last_error;

thinfer_status fail(thinfer_status status, const char* why) noexcept {
    try {
        last_error = why;
    } catch (...) {
        last_error.clear();  // no memory for the sentence: the status has to do
    }
    return status;
}

// Calls `step` and turns what it throws into a status.
template <class Step>
thinfer_status guard(Step step) noexcept {
    try {
        step();
        return THINFER_OK;
    } catch (const thinfer::BatchError& error) {
        return fail(THINFER_BAD_ARGUMENT, error.what());
    } catch (const thinfer::FormatError& error) {
        return fail(THINFER_BAD_FILE, error.what());
    } catch (const thinfer::KernelsError& error) {
        return fail(THINFER_NO_KERNELS, error.what());
    } catch (const std::exception& error) {
        return fail(THINFER_FAILED, error.what());
    } catch (...) {
        return fail(THINFER_FAILED, "an unknown failure");
    }
}

}  // namespace

extern "C" {

thinfer_status thinfer_open(const char* path, size_t threads, const char* isa, thinfer_engine** engine) {
    if (engine == nullptr) return fail(THINFER_BAD_ARGUMENT, "there is no place for the handle");
    *engine = nullptr;
    if (path == nullptr || threads == 0) return fail(THINFER_BAD_ARGUMENT, "a path and a thread are needed");
    return guard([&] { *engine = new thinfer_engine{{path, threads, isa == nullptr ? "" : isa}}; });
}

void thinfer_close(thinfer_engine* engine) { delete engine; }

thinfer_status thinfer_run(thinfer_engine* engine, const int64_t* ids, const int64_t* type_ids,
                           const int64_t* offsets, size_t sequences, size_t tokens, float* logits) {
    if (engine == nullptr || offsets == nullptr || (tokens > 0 && ids == nullptr) || (sequences > 0 && logits == nullptr)) {
        return fail(THINFER_BAD_ARGUMENT, "an array is missing");
    }
    return guard([&] {
        std::vector<std::int64_t> zeros;
        if (type_ids == nullptr) {
            zeros.resize(tokens);
            type_ids = zeros.data();
        }
        engine->engine.run(ids, type_ids, offsets, sequences, tokens, logits);
    });
}

size_t thinfer_classes(const thinfer_engine* engine) { return engine->engine.model().classes; }
size_t thinfer_positions(const thinfer_engine* engine) { return engine->engine.model().positions; }
size_t thinfer_vocab(const thinfer_engine* engine) { return engine->engine.model().vocab; }
const char* thinfer_isa(const thinfer_engine* engine) { return engine->engine.isa(); }
const char* thinfer_last_error(void) { return last_error.c_str(); }

}  // extern "C"
