// Python's door: `_native.Engine`.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "engine.hpp"

namespace nb = nanobind;

namespace {

using Ids = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

nb::ndarray<nb::numpy, float, nb::ndim<2>> run(thinfer::Engine& engine, Ids ids, Ids types, Ids offsets) {
    if (offsets.shape(0) < 1 || types.shape(0) != ids.shape(0)) {
        throw thinfer::BatchError("ids, type ids and offsets do not fit together");
    }
    const std::size_t sequences = offsets.shape(0) - 1, classes = engine.model().classes;
    auto logits = std::make_unique<float[]>(sequences * classes);
    {
        nb::gil_scoped_release released;
        engine.run(ids.data(), types.data(), offsets.data(), sequences, ids.shape(0), logits.get());
    }
    float* data = logits.release();
    nb::capsule owner(data, [](void* place) noexcept { delete[] static_cast<float*>(place); });
    return {data, {sequences, classes}, owner};
}

nb::dict time_steps(thinfer::Engine& engine, Ids ids, Ids types, Ids offsets) {
    if (offsets.shape(0) < 1 || types.shape(0) != ids.shape(0)) {
        throw thinfer::BatchError("ids, type ids and offsets do not fit together");
    }
    const std::size_t sequences = offsets.shape(0) - 1;
    const auto logits = std::make_unique<float[]>(sequences * engine.model().classes);
    thinfer::StepTimes times;
    {
        nb::gil_scoped_release released;
        times = engine.time_steps(ids.data(), types.data(), offsets.data(), sequences, ids.shape(0), logits.get());
    }
    nb::dict found;
    for (std::size_t at = 0; at < static_cast<std::size_t>(thinfer::Step::count); ++at) {
        const auto step = static_cast<thinfer::Step>(at);
        found[thinfer::name_of(step)] = times.seconds(step);
    }
    return found;
}

}  // namespace

NB_MODULE(_native, module) {
    nb::exception<thinfer::FormatError>(module, "FormatError", PyExc_ValueError);
    nb::exception<thinfer::BatchError>(module, "BatchError", PyExc_ValueError);
    nb::class_<thinfer::Engine>(module, "Engine")
        .def(nb::init<const std::string&, std::size_t, const std::string&, std::size_t>(), nb::arg("path"),
             nb::arg("threads"), nb::arg("isa"), nb::arg("shared_work") = thinfer::kSharedWork)
        .def("run", &run, nb::arg("ids"), nb::arg("type_ids"), nb::arg("offsets"))
        .def("time_steps", &time_steps, nb::arg("ids"), nb::arg("type_ids"), nb::arg("offsets"))
        .def("measure_peak", &thinfer::Engine::measure_peak)
        .def_prop_ro("sparse",
                     [](const thinfer::Engine& engine) {
                         nb::list choices;
                         for (const thinfer::SparseChoice& choice : engine.sparse()) {
                             choices.append(nb::make_tuple(choice.matrix, choice.zeros, choice.gain, choice.is_taken));
                         }
                         return choices;
                     })
        .def_prop_ro("isa", &thinfer::Engine::isa)
        .def_prop_ro("positions", [](const thinfer::Engine& engine) { return engine.model().positions; })
        .def_prop_ro("vocab", [](const thinfer::Engine& engine) { return engine.model().vocab; })
        .def_prop_ro("classes", [](const thinfer::Engine& engine) { return engine.model().classes; });
    module.attr("SHARED_WORK") = thinfer::kSharedWork;
    module.def("usable_isas", &thinfer::usable_kernels);
}
