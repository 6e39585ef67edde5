// This executable counts every allocation of the program.
#include <catch2/catch.hpp>
#include <distill/error/error.hpp>
#include <distill/execution/workspace.hpp>
#include <distill/loss/correlation.hpp>
#include <distill/loss/evaluate.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/ranking_hinge.hpp>
#include <distill/loss/reverse_kl.hpp>
#include <distill/loss/row_options.hpp>
#include <distill/loss/universal_logit.hpp>
#include <distill/numeric/bfloat16.hpp>
#include <distill/view/matrix_view.hpp>
#include <limits>
#include <vector>

#include "support/counted_allocations.hpp"
#include "support/guarded_matrix.hpp"
#include "support/loss_cases.hpp"
#include "support/random_logits.hpp"

using namespace distill;
using namespace support;

namespace {

template <class T, class F>
std::size_t allocations_of_call(const loss_case& loss, layout how, std::size_t classes, bool masked,
                                F options) {
  const logit_pair logits = independent_logits(30, classes, classes);
  guarded_matrix<T> student(30, logits.student, how), teacher(30, logits.teacher, how),
      gradient(30, classes, how);
  if (masked) student(3, 0) = from_double<T>(-std::numeric_limits<double>::infinity());
  const row_options rows = options();
  (void)loss(student.view(), teacher.view(), gradient.view(), rows);
  const std::size_t before = allocations;
  (void)loss(student.view(), teacher.view(), gradient.view(), rows);
  return allocations - before;
}

}  // namespace

TEST_CASE("with a workspace the second call allocates nothing") {
  for (const std::size_t classes : {4u, 300u})
    for (const loss_case& loss : default_cases(30, classes))
      for (const layout how : {layout::compact, layout::every_third})
        for (const bool masked : {false, true}) {
          workspace memory;
          const auto with_memory = [&] { return row_options{.workspace = &memory}; };
          INFO(loss.name << ", " << classes << " classes, " << name_of(how) << ", masked " << masked);
          CHECK(allocations_of_call<float>(loss, how, classes, masked, with_memory) == 0);
          CHECK(allocations_of_call<double>(loss, how, classes, masked, with_memory) == 0);
          CHECK(allocations_of_call<bfloat16>(loss, how, classes, masked, with_memory) == 0);
        }
}

TEST_CASE("without a workspace a call allocates its own once") {
  for (const std::size_t classes : {4u, 300u})
    for (const loss_case& loss : default_cases(30, classes)) {
      INFO(loss.name);
      CHECK(allocations_of_call<float>(loss, layout::compact, classes, false, [] { return row_options{}; }) ==
            1);
    }
}

TEST_CASE("a workspace in the caller's memory serves, and allocates nothing even the first time") {
  const logit_pair logits = independent_logits(30, 300, 1);
  const matrix_view z(logits.student.data(), 30, 300), t(logits.teacher.data(), 30, 300);
  std::vector<double> gradient(9000);
  std::vector<std::byte> bytes(1 << 20);
  const double expected = reverse_kl{}(z, t);
  workspace memory{std::span<std::byte>(bytes)};
  const std::size_t before = allocations;
  const double value = reverse_kl{}(z, t, matrix_view(gradient.data(), 30, 300), {.workspace = &memory});
  CHECK(allocations == before);
  CHECK(value == expected);
  CHECK(memory.size() == bytes.size());
}

TEST_CASE("too small a workspace throws shape_error and writes nothing; the stated size is enough") {
  const logit_pair logits = independent_logits(30, 300, 1);
  const matrix_view z(logits.student.data(), 30, 300), t(logits.teacher.data(), 30, 300);
  std::vector<double> gradient(9000, 7);
  const matrix_view g(gradient.data(), 30, 300);
  std::byte few[100];
  workspace memory{std::span<std::byte>(few)};
  std::string message;
  try {
    (void)reverse_kl{}(z, t, g, {.workspace = &memory});
  } catch (const shape_error& error) {
    message = error.what();
  }
  REQUIRE(message.starts_with("workspace: needs "));
  REQUIRE(message.ends_with(" bytes, has 100"));
  CHECK(gradient == std::vector<double>(9000, 7));
  std::vector<std::byte> enough(std::stoul(message.substr(17)));
  workspace larger{std::span<std::byte>(enough)};
  CHECK(reverse_kl{}(z, t, g, {.workspace = &larger}) == reverse_kl{}(z, t));
}

TEST_CASE("one workspace serves losses, shapes and types in turn") {
  workspace memory;
  for (const std::size_t classes : {300u, 4u, 90u}) {
    for (const loss_case& loss : default_cases(7, classes)) {
      const logit_pair logits = independent_logits(7, classes, classes);
      const matrix_view z(logits.student.data(), 7, classes), t(logits.teacher.data(), 7, classes);
      INFO(loss.name);
      CHECK(loss(z, t, {}, {.workspace = &memory}) == loss(z, t));
    }
  }
  const std::size_t size = memory.size();
  const float z[] = {0, 1}, t[] = {1, 0};
  (void)forward_kl{}(matrix_view(z, 1, 2), matrix_view(t, 1, 2), no_gradient, {.workspace = &memory});
  CHECK(memory.size() == size);
}

TEST_CASE("losses across rows, vocabularies and ranks allocate once, and nothing with a kept workspace") {
  for (const layout how : {layout::compact, layout::every_third}) {
    const logit_pair logits = independent_logits(30, 300, 1);
    const guarded_matrix<float> student(30, logits.student, how), teacher(30, logits.teacher, how);
    guarded_matrix<float> gradient(30, 300, how);
    const auto check = [&](auto call) {
      workspace memory;
      std::size_t before = allocations;
      call(nullptr);
      CHECK(allocations == before + 1);
      call(&memory);
      before = allocations;
      call(&memory);
      CHECK(allocations == before);
    };
    check([&](workspace* memory) {
      (void)correlation{}(student.view(), teacher.view(), gradient.view(), {.workspace = memory});
    });
    check([&](workspace* memory) {
      (void)universal_logit{}(student.view(), teacher.view(), gradient.view(), {.workspace = memory});
    });
    check([&](workspace* memory) {
      (void)ranking_hinge{.classes = 9}(student.view(), teacher.view(), gradient.view(),
                                        {.workspace = memory});
    });
  }
}
