// Losses on hidden states against long double: element types, layouts, targets, near-equal rows.
#include "alignment/hidden_states_cases.hpp"
#include "support/every_target.hpp"

using namespace distill;
using namespace support;
using namespace hidden_cases;

namespace {

constexpr bounds kFloat{1e-6, 1e-6}, kDouble{1e-14, 1e-14};

}  // namespace

TEST_CASE("every target, size and misalignment") {
  on_every_target([] {
    for (const std::size_t width :
         {2u, 3u, 4u, 5u, 7u, 8u, 9u, 15u, 16u, 17u, 31u, 33u, 64u, 66u, 130u, 768u, 2300u})
      for (const hidden_case& loss : all_cases()) {
        const logit_pair pair = independent_logits(5, width, width);
        for (const std::size_t offset : {0u, 1u, 5u})
          check_against_oracle<float, float, float>(loss, pair, layout::padded_rows, offset, kFloat);
        check_against_oracle<double, double, double>(loss, pair, layout::compact, 1, kDouble);
      }
  });
}

TEST_CASE("every layout and element type") {
  for (const layout how : {layout::compact, layout::padded_rows, layout::column_major, layout::padded_columns,
                           layout::every_third, layout::reversed_rows})
    for (const hidden_case& loss : all_cases()) {
      const logit_pair pair = independent_logits(7, 37, 3);
      check_against_oracle<float, float, float>(loss, pair, how, 1, kFloat);
      check_against_oracle<double, double, double>(loss, pair, how, 1, kDouble);
      check_against_oracle<bfloat16, bfloat16, bfloat16>(loss, pair, how, 1, kFloat);
      check_against_oracle<float16, bfloat16, float>(loss, pair, how, 0, kFloat);
      check_against_oracle<float, double, float>(loss, pair, how, 0, kFloat);
      check_against_oracle<double, float, double>(loss, pair, how, 0, kDouble);
    }
}

TEST_CASE("near-equal rows keep their digits") {
  for (const double deviation : {0.3, 0.05, 1e-3})
    for (const hidden_case& loss : all_cases()) {
      logit_pair pair = near_equal_logits(6, 300, 4, deviation);
      check_against_oracle<float, float, float>(loss, pair, layout::compact, 0,
                                                {1e-6, deviation < 0.01 ? 3e-5 : 2e-6});
    }
}

TEST_CASE("a gradient larger than the caches is written past them") {
  const std::size_t width = 1027, rows = (std::size_t{17} << 20) / (4 * width);
  const logit_pair pair = independent_logits(rows, width, 8);
  for (const hidden_case& loss : all_cases())
    check_against_oracle<float, float, float>(loss, pair, layout::padded_rows, 3, kFloat);
}

TEST_CASE("lengths beyond the range of float's squares") {
  for (const double scale : {1e-25, 1e25, 1e-38, 3e37})
    for (const hidden_case& loss : all_cases()) {
      if (loss.kind == feature_oracle::hidden::mse || loss.kind == feature_oracle::hidden::huber) continue;
      logit_pair pair = independent_logits(3, 20, 5, 0.5);
      for (double& x : pair.student) x *= scale;
      const guarded_matrix<float> student(3, pair.student), teacher(3, pair.teacher);
      const oracle::answer expected =
          feature_oracle::hidden_states(loss.kind, 1, student.exact(), teacher.exact());
      INFO(loss.name << " " << scale);
      CHECK(relative(loss(student.view(), teacher.view()), expected.value) < 1e-6);
      if (scale < 1) continue;  // 1 / length leaves float
      guarded_matrix<float> gradient(3, 20);
      (void)loss(student.view(), teacher.view(), gradient.view());
      CHECK(relative(gradient.exact(), expected.gradient) < (scale > 1e30 ? 1e-1 : 1e-5));
    }
  // The value alone, where its square is beyond float.
  const guarded_matrix<float> student(1, std::vector<double>{3e30, 1}), teacher(1, std::vector<double>{0, 0});
  CHECK(relative(hidden_mse{}(student.view(), teacher.view()), 9e60L) < 1e-6);
  CHECK(std::isfinite(hidden_huber{.delta = 1e20}(student.view(), teacher.view())));
}
