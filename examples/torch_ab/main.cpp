// A training loop twice, with the loss in libtorch's operations and with this library's: do the loss curves
// agree, and what do the two losses cost?
//   torch_ab [ROWS CLASSES REPETITIONS]
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "losses.hpp"

namespace {

// ---- the loss curves

struct student_model : torch::nn::Module {
  torch::nn::Linear hidden, output;
  student_model(std::int64_t width, std::int64_t classes)
      : hidden(register_module("hidden", torch::nn::Linear(width, width))),
        output(register_module("output", torch::nn::Linear(width, classes))) {}
};

/// The losses of `steps` steps of gradient descent from the same seed.
std::vector<double> train(const training_loss& loss, torch::ScalarType type, std::int64_t rows,
                          std::int64_t width, std::int64_t classes, int steps) {
  torch::manual_seed(1);
  const auto options = torch::TensorOptions().dtype(type);
  const auto teacher_hidden = torch::randn({width, width}, options) * 0.3;
  const auto teacher_output = torch::randn({width, classes}, options);
  student_model student(width, classes);
  student.to(type);
  torch::optim::SGD optimizer(student.parameters(), torch::optim::SGDOptions(0.05).momentum(0.9));
  std::vector<double> losses;
  for (int step = 0; step < steps; ++step) {
    const auto input = torch::randn({rows, width}, options);
    batch b;
    b.teacher_states = torch::tanh(torch::mm(input, teacher_hidden));
    b.teacher_logits = torch::mm(b.teacher_states, teacher_output);
    b.labels = b.teacher_logits.argmax(1);
    b.student_states = torch::tanh(student.hidden(input));
    b.student_logits = student.output(b.student_states);
    optimizer.zero_grad();
    const auto value = loss(b);
    value.backward();
    optimizer.step();
    losses.push_back(value.item<double>());
  }
  return losses;
}

/// Prints both curves' ends and their largest relative difference; whether it is within the limit.
bool compare_curves(const char* name, torch::ScalarType type, std::int64_t width, std::int64_t classes,
                    double limit) {
  const auto a = train(plain_loss, type, 32, width, classes, 100);
  kept_memory kept;
  const auto b = train([&](const batch& x) { return kept_loss(x, &kept); }, type, 32, width, classes, 100);
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, std::abs(a[i] - b[i]) / std::abs(a[i]));
  std::printf("%s: loss %.6f -> %.6f in 100 steps; the curves differ by at most %.1e (limit %.0e)\n", name,
              a.front(), a.back(), largest, limit);
  return largest <= limit && a.back() < a.front();
}

// ---- the cost of the loss

/// Resident memory in MiB: "VmRSS" now, or "VmHWM" at most since reset_peak().
double resident(const std::string& what) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (word == what + ":") {
      double kibibytes = 0;
      status >> kibibytes;
      return kibibytes / 1024;
    }
  return 0;
}
void reset_peak() { std::ofstream("/proc/self/clear_refs") << 5; }

struct cost {
  double milliseconds = 0, extra_mebibytes = 0;
};

/// One loss and its gradient; `held` is what it keeps between steps and counts as extra memory, too.
cost once(const training_loss& loss, const batch& b, std::size_t held = 0) {
  b.student_logits.mutable_grad().reset();
  reset_peak();
  const double before = resident("VmRSS");
  const auto begin = std::chrono::steady_clock::now();
  loss(b).backward();
  const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - begin;
  return {time.count(), resident("VmHWM") - before + static_cast<double>(held) / 1048576};
}

cost median(std::vector<cost> costs) {
  const auto middle = costs.begin() + static_cast<std::ptrdiff_t>(costs.size() / 2);
  std::nth_element(costs.begin(), middle, costs.end(),
                   [](const cost& a, const cost& b) { return a.milliseconds < b.milliseconds; });
  return *middle;
}

void compare_costs(std::int64_t rows, std::int64_t classes, int repetitions) {
  torch::manual_seed(2);
  batch b;
  b.teacher_logits = torch::randn({rows, classes}) * 3;
  b.student_logits = (torch::randn({rows, classes}) * 3).set_requires_grad(true);
  b.labels = torch::randint(classes, {rows}, torch::kLong);
  const double gradient = static_cast<double>(rows * classes) * 4 / 1048576;
  kept_memory kept;
  const auto keeping = [&](const batch& x) { return kept_loss(x, &kept); };
  once(plain_loss, b), once(distilled_loss, b), once(keeping, b);  // the first pages, the threads
  std::vector<cost> plain, ours, keepers;
  for (int i = 0; i < repetitions; ++i) {
    plain.push_back(once(plain_loss, b));
    ours.push_back(once(distilled_loss, b));
    keepers.push_back(once(keeping, b, kept.logits.size()));
  }
  const cost p = median(plain), o = median(ours), k = median(keepers);
  std::printf("\n%lld x %lld, float, %d threads; the gradient itself is %.0f MiB\n",
              static_cast<long long>(rows), static_cast<long long>(classes), at::get_num_threads(), gradient);
  std::printf("%-22s %12s %12s %18s\n", "loss and backward", "ms", "extra MiB", "without gradient");
  const auto print = [&](const char* name, const cost& c) {
    std::printf("%-22s %12.1f %12.0f %18.0f\n", name, c.milliseconds, c.extra_mebibytes,
                c.extra_mebibytes - gradient);
  };
  print("plain libtorch", p);
  print("distill", o);
  print("distill, memory kept", k);
  std::printf("plain libtorch takes %.1f and %.1f times the time", p.milliseconds / o.milliseconds,
              p.milliseconds / k.milliseconds);
  if (std::min(o.extra_mebibytes, k.extra_mebibytes) >= 1)
    std::printf(" and %.1f and %.1f times the memory", p.extra_mebibytes / o.extra_mebibytes,
                p.extra_mebibytes / k.extra_mebibytes);
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, long long otherwise) {
    return argc > i ? std::atoll(argv[i]) : otherwise;
  };
  const bool agree = compare_curves("float", torch::kFloat, 32, 100, 1e-4) &&
                     compare_curves("double", torch::kDouble, 8, 10, 1e-9);
  compare_costs(argument(1, 1024), argument(2, 32000), static_cast<int>(argument(3, 3)));
  return agree ? 0 : 1;
}
