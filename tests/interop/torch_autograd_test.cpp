// How a loss lives in libtorch's graph: when a gradient is computed, how often it is handed back, what is
// copied.
#include "interop/torch_agreement.hpp"
// after Catch2 is settled
#include <c10/core/InferenceMode.h>

#include <distill/alignment/attention_kl.hpp>
#include <distill/alignment/hidden_mse.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/objective.hpp>

using namespace distill;
using namespace torch_agreement;
using Catch::Matchers::Contains;

namespace {

const forward_kl kl{.temperature = 2};
const at::Tensor teacher = at::randn({6, 30}, at::kFloat);

at::Tensor leaf() { return at::linspace(-2, 2, 180, at::kFloat).reshape({6, 30}).requires_grad_(true); }
at::Tensor expected_gradient(double upstream) {
  const at::Tensor student = leaf().detach();
  at::Tensor gradient = at::empty_like(student);
  kl(torch_matrix(student), torch_matrix(teacher), torch_matrix(gradient));
  return gradient * upstream;
}

/// An executor that counts its calls.
struct counting_executor {
  mutable int calls = 0;
  std::size_t concurrency() const { return 1; }
  void for_each_block(std::size_t count, std::size_t, block_function f) const {
    ++calls;
    f(0, count);
  }
};

}  // namespace

TEST_CASE("the gradient is scaled by whatever comes from above") {
  for (const double factor : {1.0, -2.5, 0.0, 1e-3}) {
    const at::Tensor student = leaf();
    (torch_loss(kl, student, teacher) * factor).backward();
    CHECK(difference(student.grad(), expected_gradient(factor)) <= 1e-6);
  }
  const at::Tensor student = leaf();
  const at::Tensor value = torch_loss(kl, student * 2, teacher);
  (value.square() + 3 * value).backward();
  const double slope = 2 * value.item<double>() + 3;
  const at::Tensor doubled = (leaf().detach() * 2).requires_grad_(true);
  torch_loss(kl, doubled, teacher).backward();
  CHECK(difference(student.grad(), doubled.grad() * 2 * slope) < 1e-5);
}

TEST_CASE("finite differences agree, through the graph") {
  const at::Tensor target = at::randn({3, 8}, at::kDouble), upstream = at::randn({3}, at::kDouble);
  const at::Tensor start = at::randn({8, 3}, at::kDouble);
  const auto total = [&](const at::Tensor& x) {
    const at::Tensor rows = torch_loss(kl, at::tanh(x.t()) * 3, target, {.reduction = reduction::none});
    return (rows.square() * upstream).sum();
  };
  const at::Tensor x = start.clone().requires_grad_(true);
  total(x).backward();
  const at::Tensor moved = start.clone(), numeric = at::empty_like(start);
  for (std::int64_t i = 0; i < start.numel(); ++i)
    numeric.data_ptr<double>()[i] = central_difference(moved, i, 1e-5, [&] { return total(moved); });
  CHECK(difference(x.grad(), numeric) < 1e-7);
}

TEST_CASE("without grad mode, or a student that requires grad, only the value is computed") {
  const double value = torch_loss(kl, leaf(), teacher).item<double>();
  CHECK(torch_loss(kl, leaf(), teacher).requires_grad());
  CHECK_FALSE(torch_loss(kl, leaf().detach(), teacher).requires_grad());
  {
    const at::NoGradGuard none;
    const at::Tensor quiet = torch_loss(kl, leaf(), teacher);
    CHECK_FALSE(quiet.requires_grad());
    CHECK(quiet.item<double>() == value);
  }
  const c10::InferenceMode inference;
  CHECK(torch_loss(kl, leaf().detach(), teacher).item<double>() == value);
}

TEST_CASE("a teacher gets no gradient, and may be an inference tensor") {
  const at::Tensor student = leaf(), learning = teacher.clone().requires_grad_(true);
  torch_loss(kl, student, learning).backward();
  CHECK_FALSE(learning.grad().defined());
  CHECK_FALSE(torch_loss(kl, student.detach(), learning).requires_grad());
  at::Tensor inferred;
  {
    const c10::InferenceMode inference;
    inferred = teacher + 0;
  }
  const at::Tensor again = leaf();
  torch_loss(kl, again, inferred).backward();
  CHECK(at::equal(again.grad(), student.grad()));
}

TEST_CASE("an upstream gradient of 1 hands the buffer over, any other is multiplied in place") {
  for (const double factor : {1.0, 3.0}) {
    const at::Tensor student = leaf();
    const void* stored = nullptr;
    const at::Tensor inner = student.view({6, 30});
    inner.register_hook([&](const at::Tensor& gradient) { stored = gradient.data_ptr(); });
    torch_loss(kl, inner, teacher).mul(factor).backward();
    CHECK(student.grad().data_ptr() == stored);
    CHECK(difference(student.grad(), expected_gradient(factor)) <= 1e-6);
  }
}

TEST_CASE("an upstream gradient of 1 is no reason to copy, even if the graph is retained") {
  const at::Tensor inner = leaf().view({6, 30});
  std::vector<const void*> stored;
  inner.register_hook([&](const at::Tensor& gradient) { stored.push_back(gradient.data_ptr()); });
  const at::Tensor value = torch_loss(kl, inner, teacher);
  value.backward({}, true);
  value.backward();
  REQUIRE(stored.size() == 2);
  CHECK(stored[0] == stored[1]);
}

TEST_CASE("a graph is gone after backward, unless it is retained") {
  const at::Tensor student = leaf();
  const at::Tensor once = torch_loss(kl, student, teacher);
  once.backward();
  CHECK_THROWS_WITH(once.backward(), Contains("backward through the graph a second time"));
  for (const double factor : {1.0, 3.0}) {
    student.mutable_grad().reset();
    const at::Tensor value = torch_loss(kl, student, teacher) * factor;
    value.backward({}, true);
    value.backward({}, true);
    value.backward();
    CHECK(difference(student.grad(), expected_gradient(3 * factor)) <= 1e-6);
  }
}

TEST_CASE("a gradient of the gradient is refused") {
  const at::Tensor value = torch_loss(kl, leaf(), teacher);
  CHECK_THROWS_AS(value.backward({}, true, true), parameter_error);
  CHECK_THROWS_WITH(torch_loss(kl, leaf(), teacher).backward({}, true, true),
                    "torch_loss: has no gradient of its gradient; call backward without create_graph");
}

TEST_CASE("teacher and student may change in place after the call: nothing of them is kept") {
  const at::Tensor student = leaf(), changing = teacher.clone();
  at::Tensor inner = student * 1;
  const at::Tensor value = torch_loss(kl, inner, changing);
  inner.zero_();
  changing.zero_();
  value.backward();
  CHECK(difference(student.grad(), expected_gradient(1)) < 1e-6);
  const at::Tensor other = leaf();
  const at::Tensor total = torch_loss(kl, other, changing.copy_(teacher));
  changing.zero_();
  {
    const at::NoGradGuard none;
    other.zero_();
  }
  total.backward();
  CHECK(difference(other.grad(), expected_gradient(1)) < 1e-6);
}

TEST_CASE("a stored gradient that somebody changed is noticed") {
  const at::Tensor student = leaf();
  const at::Tensor inner = student.view({6, 30});
  bool is_spoiled = false;
  inner.register_hook([&](const at::Tensor& gradient) {
    if (!is_spoiled) gradient.mul_(2);
    is_spoiled = true;
  });
  const at::Tensor value = torch_loss(kl, inner, teacher);
  value.backward({}, true);
  CHECK_THROWS_WITH(value.backward(), Contains("modified by an inplace operation"));
}

TEST_CASE("a loss scale reaches Half gradients before they are rounded") {
  const at::Tensor student = at::randn({4, 1000}, at::kHalf).requires_grad_(true);
  const at::Tensor target = at::randn({4, 1000}, at::kFloat);
  const row_options rows{.denominator = 1e5};
  torch_loss(forward_kl{}, student, target, rows).mul(65536).backward();
  const at::Tensor wide = student.detach().to(at::kFloat).requires_grad_(true);
  torch_loss(forward_kl{}, wide, target, rows).mul(65536).backward();
  CHECK(difference(student.grad(), wide.grad()) < 1e-3);
  CHECK(student.grad().ne(0).sum().item<std::int64_t>() > 3900);
}

TEST_CASE("an executor that is given is used, forward only") {
  const counting_executor executor;
  const at::Tensor student = leaf();
  const at::Tensor value = torch_loss(kl, student, teacher, {.executor = executor});
  const int calls = executor.calls;
  CHECK(calls > 0);
  value.backward();
  CHECK(executor.calls == calls);
  CHECK(at::equal(value, torch_loss(kl, student, teacher)));
}

TEST_CASE("what cannot be is refused with a sentence") {
  const at::Tensor student = leaf();
  CHECK_THROWS_WITH(torch_loss(kl, student, teacher, {.accumulate = true}),
                    "torch_loss: autograd accumulates; accumulate must be false");
  std::vector<double> values(6);
  CHECK_THROWS_WITH(
      torch_loss(kl, student, teacher, {.reduction = reduction::none, .row_values = values}),
      "torch_loss: with reduction::none the row values are the result; row_values must be empty");
  torch_loss(kl, student, teacher, {.row_values = values});
  CHECK(values[3] > 0);
  CHECK_THROWS_WITH(torch_loss(kl, student), "forward_kl: needs a teacher");
  CHECK_THROWS_WITH(torch_loss(kl, student, at::randn({6, 31})),
                    "forward_kl: teacher has 31 classes, student has 30");
  CHECK_THROWS_WITH(torch_loss(kl, student, at::zeros({6, 30}, at::kLong)),
                    "torch_loss: teacher is of Long, needs Float, Double, BFloat16 or Half");
  CHECK_THROWS_WITH(
      torch_loss(kl, student.view({2, 3, 30}), teacher),
      "torch_loss: student has 3 dimensions, needs 2; flatten(0, 1) makes rows of [batch, sequence, "
      "classes]");
  CHECK_THROWS_WITH(torch_loss(kl, at::Tensor(), teacher), "torch_loss: student is an undefined tensor");
  CHECK_THROWS_WITH(torch_loss(attention_kl{}, student.view({1, 2, 3, 30}), at::ones({2, 3, 30}, at::kInt)),
                    "torch_loss: teacher is of Int, needs Float, Double, BFloat16 or Half");
}
