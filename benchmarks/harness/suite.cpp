#include "harness/suite.hpp"

#include <benchmark/benchmark.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <limits>
#include <memory>
#include <regex>
#include <string_view>
#include <vector>

#include "harness/allocation_counter.hpp"

namespace benchmarks {
namespace {

/// Everything but the time.
struct record {
  std::string name;
  shape extent;
  contender subject;
  measured_error error;
  measured_error near_equal_error;
  double extra_bytes = 0;
};

template <class Element>
struct candidate {
  std::string name;
  const peer<Element>* who;
  int threads;
  measured_error error{};
  measured_error near_equal_error{};
};

template <class Element>
std::vector<candidate<Element>> select(const trial& what, const peer_list<Element>& peers) {
  const std::regex filter(benchmark::GetBenchmarkFilter());
  std::vector<candidate<Element>> selected;
  for (const auto& each : peers) {
    for (const int threads : each.threads) {
      const auto name =
          what.task + "/" + to_string(what.extent) + "/" + each.name + "/threads:" + std::to_string(threads);
      if (std::regex_search(name, filter)) selected.push_back({name, &each, threads});
    }
  }
  return selected;
}

template <class Element>
void compare_all(problem<Element>& task, std::vector<candidate<Element>>& candidates,
                 const error_bounds& bounds, measured_error candidate<Element>::*error) {
  answer_sheet<Element> answers(task);
  for (auto& each : candidates) {
    each.*error = answers.compare(each.name, each.who->bind(task, each.threads), bounds);
  }
}

/// Fills in the errors, on the problem to be timed or on its first rows. Returns the problem to be timed.
template <class Element>
std::shared_ptr<problem<Element>> compare_all(const trial& what,
                                              std::vector<candidate<Element>>& candidates) {
  const shape checked = first_rows(what.extent, what.checked_elements);
  if (what.data != data_set::near_equal) {
    problem<Element> near_equal(checked, data_set::near_equal);
    compare_all(near_equal, candidates, what.near_equal_bounds, &candidate<Element>::near_equal_error);
  }
  auto task = std::make_shared<problem<Element>>(checked, what.data);
  compare_all(*task, candidates, what.bounds, &candidate<Element>::error);
  if (checked == what.extent) return task;
  return std::make_shared<problem<Element>>(what.extent, what.data);
}

/// What the subject keeps, and the most it holds during a call, beyond the inputs and the output.
template <class Element>
double extra_memory(const candidate<Element>& each, problem<Element>& task) {
  allocation_counter counter;
  const contender subject = each.who->bind(task, each.threads);
  subject.call();
  counter.reset_peak();
  subject.call();
  const double output = subject.own_output ? static_cast<double>(task.output.size() * sizeof(Element)) : 0.0;
  return std::max(0.0, static_cast<double>(counter.peak_bytes()) - output);
}

double median(std::vector<double> sample) {
  const auto middle = sample.begin() + static_cast<std::ptrdiff_t>(sample.size() / 2);
  std::nth_element(sample.begin(), middle, sample.end());
  return *middle;
}

void report(benchmark::State& state, const record& of, const std::vector<double>& seconds) {
  const double typical = median(seconds);
  state.counters["minimum_s"] = *std::min_element(seconds.begin(), seconds.end());
  state.counters["median_s"] = typical;
  state.counters["rows_per_s"] = static_cast<double>(of.extent.rows) / typical;
  state.counters["elements"] = static_cast<double>(of.extent.elements());
  state.counters["extra_bytes"] = of.extra_bytes;
  state.counters["value_error"] = of.error.value;
  state.counters["output_error"] = of.error.output;
  state.counters["near_equal_value_error"] = of.near_equal_error.value;
  state.counters["near_equal_output_error"] = of.near_equal_error.output;
}

void time_calls(benchmark::State& state, const record& of) {
  using clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  of.subject.call();  // another contender has just had the caches
  for (auto _ : state) {
    const auto start = clock::now();
    benchmark::DoNotOptimize(of.subject.call());
    seconds.push_back(std::chrono::duration<double>(clock::now() - start).count());
    state.SetIterationTime(seconds.back());
  }
  report(state, of, seconds);
}

/// Freed memory stays in the process; otherwise peers that allocate temporaries would be timed in page
/// faults.
void keep_freed_memory() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
}

std::vector<char*> with_defaults(int argc, char** argv) {
  static std::string defaults[] = {"--benchmark_enable_random_interleaving=true", "--benchmark_repetitions=9",
                                   "--benchmark_min_time=0.02", "--benchmark_display_aggregates_only=true"};
  std::vector<char*> arguments{argv[0]};
  for (auto& flag : defaults) arguments.push_back(flag.data());
  arguments.insert(arguments.end(), argv + 1, argv + argc);
  return arguments;
}

}  // namespace

template <class Element>
void suite::add(const trial& what, const peer_list<Element>& peers) {
  auto candidates = select(what, peers);
  if (list_only_) {
    for (const auto& each : candidates) std::puts(each.name.c_str());
    return;
  }
  if (candidates.empty()) return;
  const auto task = compare_all(what, candidates);
  for (const auto& each : candidates) {
    const double extra = extra_memory(each, *task);
    const record complete{each.name,  what.extent,           each.who->bind(*task, each.threads),
                          each.error, each.near_equal_error, extra};
    benchmark::RegisterBenchmark(each.name.c_str(),
                                 [task, complete](benchmark::State& state) { time_calls(state, complete); })
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  }
}

template void suite::add(const trial&, const peer_list<float>&);
template void suite::add(const trial&, const peer_list<bfloat16_bits>&);

int run(int argc, char** argv, const std::function<void(suite&)>& fill) {
  const bool list_only = std::any_of(argv, argv + argc, [](std::string_view argument) {
    return argument.starts_with("--benchmark_list_tests");
  });
  keep_freed_memory();
  auto arguments = with_defaults(argc, argv);
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 1;
  try {
    suite contenders(list_only);
    fill(contenders);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "refused: %s\n", error.what());
    return 1;
  }
  if (!list_only) benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace benchmarks
