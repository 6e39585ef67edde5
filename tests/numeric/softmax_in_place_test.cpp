// softmax and its relatives written over their inputs, with a workspace, and twice.
#include <catch2/catch.hpp>

#include "numeric/softmax_cases.hpp"

using namespace softmax_cases;
using support::guarded_matrix;
using support::layout;

namespace {

template <class T>
void check_in_place(operation which, std::size_t classes, layout how) {
  const std::size_t rows = 21;
  const std::vector<double> values = input_values(which, rows, classes, 21);
  const std::size_t upstream_classes = has_vector_upstream(which) ? 1 : classes;
  const std::vector<double> weights = support::independent_logits(rows, upstream_classes, 22, 1).student;
  guarded_matrix<T> input(rows, values, how), upstream(rows, weights, how), output(rows, classes, how);
  const guarded_matrix<float> narrow(rows, weights);
  if (has_vector_upstream(which)) {
    call(which, input.view(), narrow.view(), output.view());
    call(which, input.view(), narrow.view(), input.view());
    CHECK(input.bits() == output.bits());
    return;
  }
  call(which, input.view(), upstream.view(), output.view());
  if (which == operation::softmax_backward || which == operation::log_softmax_backward) {
    call(which, input.view(), upstream.view(), upstream.view());
    CHECK(upstream.bits() == output.bits());
    upstream.set(weights);
  }
  call(which, input.view(), upstream.view(), input.view());
  CHECK(input.bits() == output.bits());
  CHECK(input.is_intact());
}

}  // namespace

TEST_CASE("in place gives the same bits") {
  on_every_target([](const std::string& target) {
    for (const operation which : all_operations) {
      if (has_vector_output(which)) continue;
      for (const std::size_t classes : {4, 50, 1100})
        for (const layout how :
             {layout::compact, layout::column_major, layout::every_third, layout::reversed_rows}) {
          CAPTURE(target, name_of(which), classes, support::name_of(how));
          check_in_place<float>(which, classes, how);
          check_in_place<double>(which, classes, how);
          check_in_place<distill::bfloat16>(which, classes, how);
        }
    }
  });
}

TEST_CASE("an unresolved row in place is still read whole") {
  for (const std::size_t classes : {6, 60}) {
    guarded_matrix<float> logits(18, support::independent_logits(18, classes, 23).student);
    for (std::size_t c = 0; c < classes; ++c) logits(5, c) = c % 2 == 0 ? 3e38f : -3e38f;
    guarded_matrix<float> output(18, classes);
    distill::log_softmax(logits.view(), output.view());
    distill::log_softmax(logits.view(), logits.view());
    CHECK(output.bits() == logits.bits());
    CHECK(output.at(5, 0) == Approx(-std::log(static_cast<double>(classes) / 2)));
  }
}

TEST_CASE("a caller's workspace is enough, or the call says how much it needs") {
  const guarded_matrix<float> logits(20, support::independent_logits(20, 100, 24).student,
                                     layout::every_third);
  guarded_matrix<float> output(20, 100), again(20, 100);
  distill::workspace kept;
  distill::softmax(logits.view(), output.view(), {.workspace = &kept});
  const std::size_t size = kept.size();
  CHECK(size > 0);
  distill::softmax(logits.view(), again.view(), {.workspace = &kept});
  CHECK(kept.size() == size);
  CHECK(output.bits() == again.bits());

  std::vector<std::byte> memory(size + distill::workspace::alignment);
  distill::workspace external{std::span(memory)};
  distill::softmax(logits.view(), again.view(), {.workspace = &external});
  CHECK(output.bits() == again.bits());
  distill::workspace small{std::span(memory).first(10)};
  CHECK_THROWS_AS(distill::softmax(logits.view(), again.view(), {.workspace = &small}), distill::shape_error);
}

TEST_CASE("the temperature matters, and divides the logits") {
  const std::vector<double> values = support::independent_logits(3, 40, 25).student;
  std::vector<double> divided = values;
  for (double& z : divided) z /= 4;
  const guarded_matrix<double> logits(3, values), scaled(3, divided);
  guarded_matrix<double> a(3, 40), b(3, 40), c(3, 40);
  distill::softmax(logits.view(), a.view(), {.temperature = 4});
  distill::softmax(scaled.view(), b.view());
  distill::softmax(logits.view(), c.view());
  CHECK(a.bits() == b.bits());
  CHECK(a.bits() != c.bits());
}
