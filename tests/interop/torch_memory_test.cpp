// Memory that is kept between steps: it is used again, but never while somebody else may look at it.
#include "interop/torch_agreement.hpp"
// after Catch2 is settled
#include <distill/alignment/attention_kl.hpp>
#include <distill/alignment/attention_transfer.hpp>
#include <distill/alignment/gram_mse.hpp>
#include <distill/alignment/relation.hpp>
#include <distill/loss/forward_kl.hpp>

using namespace distill;
using namespace torch_agreement;

namespace {

const forward_kl kl{.temperature = 2};

at::Tensor leaf(std::int64_t rows = 6, at::ScalarType type = at::kFloat) {
  return at::randn({rows, 30}, type).requires_grad_(true);
}
at::Tensor target(std::int64_t rows = 6) { return at::randn({rows, 30}, at::kFloat); }

/// Where the gradient lies that one step with `memory` computes.
const void* step(torch_memory& memory, std::int64_t rows = 6, at::ScalarType type = at::kFloat) {
  const at::Tensor student = leaf(rows, type);
  torch_loss(kl, student, target(rows), {}, &memory).backward();
  return student.grad().data_ptr();
}

/// What the gradient is without kept memory.
at::Tensor fresh_gradient(const at::Tensor& student, const at::Tensor& teacher) {
  const at::Tensor copy = student.detach().clone().requires_grad_(true);
  torch_loss(kl, copy, teacher).backward();
  return copy.grad();
}

}  // namespace

TEST_CASE("the second step writes where the first one did, and nothing is copied on the way to a leaf") {
  torch_memory memory;
  CHECK(memory.size() == 0);
  const void* const first = step(memory);
  const std::size_t held = memory.size();
  CHECK(held > 6 * 30 * sizeof(float));  // the scratch too
  for (int i = 0; i < 3; ++i) CHECK(step(memory) == first);
  CHECK(memory.size() == held);
}

TEST_CASE("a student that is computed is like any other") {
  torch_memory memory;
  std::vector<const void*> places;
  const at::Tensor weight = at::randn({30, 30}).requires_grad_(true);
  for (int i = 0; i < 3; ++i) {
    const at::Tensor student = at::mm(at::randn({6, 30}), weight);
    student.register_hook([&](const at::Tensor& gradient) { places.push_back(gradient.data_ptr()); });
    torch_loss(kl, student, target(), {}, &memory).mul(i + 1).backward();
  }
  CHECK(places == std::vector<const void*>(3, places[0]));
}

TEST_CASE("values and gradients are the same with memory and without, in every layout and type") {
  torch_memory memory;
  for (const layout how : every_layout)
    for (const at::ScalarType type : every_type)
      for (const double factor : {1.0, -3.0}) {
        const at::Tensor teacher = target();
        const at::Tensor student = laid_out(at::randn({6, 30}).to(type), how);
        const at::Tensor with = student.detach().requires_grad_(true);
        const at::Tensor without = student.detach().requires_grad_(true);
        const at::Tensor value = torch_loss(kl, with, teacher, {}, &memory);
        const at::Tensor expected = torch_loss(kl, without, teacher);
        CHECK(at::equal(value, expected));
        value.mul(factor).backward();
        expected.mul(factor).backward();
        CHECK(with.grad().strides() == without.grad().strides());
        CHECK(with.grad().scalar_type() == type);
        CHECK(at::equal(with.grad(), without.grad()));
      }
}

TEST_CASE("a gradient lies as its student does, so that a leaf takes it as it is") {
  torch_memory memory;
  std::vector<const void*> places;
  for (int i = 0; i < 2; ++i) {
    const at::Tensor student = at::randn({30, 6}).t().requires_grad_(true);
    torch_loss(kl, student, target(), {}, &memory).backward();
    places.push_back(student.grad().data_ptr());
  }
  CHECK(places[0] == places[1]);
}

TEST_CASE("a gradient that a leaf still holds stays as it is") {
  torch_memory memory;
  const at::Tensor student = leaf(), teacher = target();
  torch_loss(kl, student, teacher, {}, &memory).backward();
  const at::Tensor expected = student.grad().clone();
  const void* const second = step(memory);
  CHECK(second != student.grad().data_ptr());
  CHECK(at::equal(student.grad(), expected));
  CHECK(step(memory) == second);
}

TEST_CASE("gradients add up in a leaf, over steps with one memory") {
  torch_memory memory;
  const at::Tensor student = leaf();
  at::Tensor expected = at::zeros({6, 30});
  for (int i = 0; i < 4; ++i) {
    const at::Tensor teacher = target();
    expected += fresh_gradient(student, teacher);
    torch_loss(kl, student, teacher, {}, &memory).backward();
  }
  CHECK(difference(student.grad(), expected) < 1e-6);
}

TEST_CASE("a view, an alias or a storage of a gradient holds its memory") {
  const std::function<c10::intrusive_ptr<c10::intrusive_ptr_target>(const at::Tensor&)> holders[] = {
      [](const at::Tensor& x) { return x.narrow(0, 2, 1).getIntrusivePtr(); },
      [](const at::Tensor& x) { return x.detach().getIntrusivePtr(); },
      [](const at::Tensor& x) {
        return c10::intrusive_ptr<c10::intrusive_ptr_target>::reclaim_copy(
            x.storage().unsafeGetStorageImpl());
      }};
  for (const auto& holder : holders) {
    torch_memory memory;
    at::Tensor student = leaf();
    torch_loss(kl, student, target(), {}, &memory).backward();
    const void* const first = student.grad().data_ptr();
    auto held = holder(student.grad());
    student.mutable_grad().reset();
    const void* const second = step(memory);
    CHECK(second != first);
    held.reset();
    CHECK(step(memory) == second);
  }
}

TEST_CASE("a graph that has not run backward keeps its gradient") {
  torch_memory memory;
  const at::Tensor student = leaf(), teacher = target();
  const at::Tensor value = torch_loss(kl, student, teacher, {}, &memory);
  step(memory);
  step(memory);
  value.backward();
  CHECK(at::equal(student.grad(), fresh_gradient(student, teacher)));
}

TEST_CASE("a retained graph keeps its gradient") {
  torch_memory memory;
  const at::Tensor student = leaf(), teacher = target();
  const at::Tensor expected = fresh_gradient(student, teacher);
  at::Tensor value = torch_loss(kl, student, teacher, {}, &memory);
  for (const bool is_retained : {true, true, false}) {
    value.backward({}, is_retained);
    CHECK(at::equal(student.grad(), expected));
    student.mutable_grad().reset();
    step(memory);
  }
}

TEST_CASE("a graph that is thrown away gives its memory back") {
  torch_memory memory;
  const void* const first = step(memory);
  torch_loss(kl, leaf(), target(), {}, &memory);
  CHECK(step(memory) == first);
  CHECK_THROWS_AS(torch_loss(kl, leaf(), target(7), {}, &memory), shape_error);
  CHECK(step(memory) == first);
}

TEST_CASE("two losses of one graph may share a memory") {
  torch_memory memory;
  for (int i = 0; i < 3; ++i) {
    const at::Tensor first = leaf(), second = leaf(), teacher = target();
    (torch_loss(kl, first, teacher, {}, &memory) + torch_loss(kl, second, teacher, {}, &memory)).backward();
    CHECK(first.grad().data_ptr() != second.grad().data_ptr());
    CHECK(at::equal(first.grad(), fresh_gradient(first, teacher)));
    CHECK(at::equal(second.grad(), fresh_gradient(second, teacher)));
  }
  const at::Tensor both = leaf(), teacher = target();
  (torch_loss(kl, both, teacher, {}, &memory) + torch_loss(kl, both, teacher, {}, &memory)).backward();
  CHECK(difference(both.grad(), 2 * fresh_gradient(both, teacher)) < 1e-6);
}

TEST_CASE("memory grows to the largest request and serves smaller ones and other types") {
  torch_memory memory;
  step(memory, 4);
  const std::size_t small = memory.size();
  const void* const large = step(memory, 12);
  CHECK(memory.size() >= small + 8 * 30 * sizeof(float));
  const std::size_t held = memory.size();
  for (const std::int64_t rows : {1, 12, 5}) CHECK(step(memory, rows) == large);
  CHECK(step(memory, 6, at::kDouble) == large);
  CHECK(step(memory, 12, at::kBFloat16) == large);
  CHECK(memory.size() - held < 12 * 30 * sizeof(float));  // scratch for a step in double, no gradient
  step(memory, 12, at::kDouble);
  CHECK(memory.size() >= 12 * 30 * sizeof(double));
}

TEST_CASE("memory that a storage was given since is not taken") {
  torch_memory memory;
  at::Tensor student = leaf();
  torch_loss(kl, student, target(), {}, &memory).backward();
  student.mutable_grad().resize_({50, 30}).fill_(7);
  const void* const resized = student.grad().data_ptr();
  student.mutable_grad().reset();
  CHECK(step(memory) != resized);

  torch_memory other;
  torch_loss(kl, student, target(), {}, &other).backward();
  student.grad().storage().set_data_ptr_noswap(c10::GetAllocator(c10::kCPU)->allocate(0));
  student.grad().storage().set_nbytes(0);
  student.mutable_grad().reset();
  const at::Tensor next = leaf(), teacher = target();
  torch_loss(kl, next, teacher, {}, &other).backward();
  CHECK(at::equal(next.grad(), fresh_gradient(next, teacher)));
}

TEST_CASE("only a gradient takes memory; the scratch is kept also for a value") {
  torch_memory memory;
  torch_loss(kl, leaf().detach(), target(), {}, &memory);
  const std::size_t scratch = memory.size();
  CHECK(scratch > 0);
  step(memory);
  CHECK(memory.size() >= scratch + 6 * 30 * sizeof(float));
  torch_memory none;
  workspace given;
  torch_loss(kl, leaf().detach(), target(), {.workspace = &given}, &none);
  CHECK(none.size() == 0);
  CHECK(given.size() > 0);
}

TEST_CASE("memory may move, and go before the gradients that lie in it") {
  const at::Tensor student = leaf(), teacher = target();
  at::Tensor value;
  {
    torch_memory memory;
    const void* const first = step(memory);
    torch_memory moved = std::move(memory);
    CHECK(step(moved) == first);
    value = torch_loss(kl, student, teacher, {}, &moved);
    moved = {};
    CHECK(moved.size() == 0);
  }
  value.backward();
  CHECK(at::equal(student.grad(), fresh_gradient(student, teacher)));
}

TEST_CASE("every kind of loss keeps its gradients, queries and keys one each") {
  const at::Tensor maps = at::randn({2, 3, 5, 7}), rows = at::randn({5, 7}),
                   teacher = at::randn({2, 3, 5, 7});
  const auto check = [](const at::Tensor& start, const auto& loss) {
    torch_memory memory;
    const auto place = [&](torch_memory* kept) {
      const at::Tensor student = start.clone().requires_grad_(true);
      loss(student, kept).backward();
      return std::pair(student.grad().data_ptr(), student.grad());
    };
    const at::Tensor expected = place(nullptr).second;
    const void* const first = place(&memory).first;
    const auto [second, gradient] = place(&memory);
    CHECK(second == first);
    CHECK(at::equal(gradient, expected));
  };
  check(maps,
        [&](const at::Tensor& x, torch_memory* m) { return torch_loss(attention_kl{}, x, teacher, {}, m); });
  check(maps,
        [&](const at::Tensor& x, torch_memory* m) { return torch_loss(relation{}, x, teacher, {}, m); });
  check(maps, [&](const at::Tensor& x, torch_memory* m) {
    return torch_loss(attention_transfer{}, x, teacher, {}, m);
  });
  check(rows, [&](const at::Tensor& x, torch_memory* m) {
    return torch_loss(gram_mse{}, x, at::ones({5, 4}), {.product = torch_product{}}, m);
  });
  torch_memory memory;
  std::vector<const void*> places;
  for (int i = 0; i < 2; ++i) {
    const at::Tensor q = at::randn({1, 2, 5, 4}).requires_grad_(true),
                     k = at::randn({1, 2, 9, 4}).requires_grad_(true);
    torch_loss(attention_kl{}, torch_queries_keys{q, k},
               torch_queries_keys{at::ones({1, 2, 5, 4}), at::ones({1, 2, 9, 4})}, {}, &memory)
        .backward();
    places.insert(places.end(), {q.grad().data_ptr(), k.grad().data_ptr()});
  }
  CHECK((places[0] == places[2] && places[1] == places[3] && places[0] != places[1]));
}
