#include <catch2/catch.hpp>
#include <distill/execution/executor.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/reverse_kl.hpp>
#include <distill/loss/row_options.hpp>
#include <distill/numeric/bfloat16.hpp>
#include <limits>
#include <vector>

#include "support/accuracy.hpp"
#include "support/block_executor.hpp"
#include "support/random_logits.hpp"

using namespace distill;
using namespace support;

namespace {

constexpr double kMasked = -std::numeric_limits<double>::infinity();

struct outcome {
  double value;
  std::vector<double> values;
  std::vector<unsigned char> gradient;
  bool operator==(const outcome&) const = default;
};

template <class T>
outcome run(const loss_case& loss, const logit_pair& logits, layout how, row_options rows) {
  const guarded_matrix<T> student(logits.rows, logits.student, how),
      teacher(logits.rows, logits.teacher, how);
  guarded_matrix<T> gradient(logits.rows, logits.classes, how);
  outcome result{0, std::vector<double>(logits.rows), {}};
  rows.row_values = result.values;
  result.value = loss(student.view(), teacher.view(), gradient.view(), rows);
  result.gradient = gradient.bits();
  return result;
}

template <class T>
void check_every_cut(const loss_case& loss, const logit_pair& logits, layout how, row_options rows) {
  const outcome serial = run<T>(loss, logits, how, rows);
  for (const std::size_t workers : {1u, 2u, 3u, 7u})
    for (const std::size_t block : {1u, 3u, 16u, 1000u}) {
      block_executor executor(workers, block);
      rows.executor = executor;
      INFO(loss.name << ", " << logits.classes << " classes, " << name_of(how) << ", " << workers
                     << " workers, block " << block);
      CHECK(run<T>(loss, logits, how, rows) == serial);
      CHECK(executor.calls() > 0);
    }
}

}  // namespace

TEST_CASE("any executor, worker count and block size give the same bits") {
  constexpr std::size_t rows = 53;
  std::vector<float> weights(rows, 1.0f);
  for (std::size_t row = 0; row < rows; row += 6) weights[row] = row % 4 == 0 ? 0.0f : 0.3f;
  for (const std::size_t classes : {3u, 10u, 70u})
    for (const loss_case& loss : default_cases(rows, classes)) {
      logit_pair logits = independent_logits(rows, classes, classes);
      check_every_cut<float>(loss, logits, layout::compact, {.row_weights = weights});
      check_every_cut<float>(loss, logits, layout::column_major, {.row_weights = weights});
      check_every_cut<bfloat16>(loss, logits, layout::compact, {});
    }
}

// A row that needs another path must not change its neighbours' bits, whichever rows share its block.
TEST_CASE("rows with masked logits change no bit of their neighbours") {
  constexpr std::size_t rows = 53;
  for (const std::size_t classes : {3u, 10u, 70u})
    for (const loss_case& loss : default_cases(rows, classes)) {
      logit_pair logits = independent_logits(rows, classes, classes);
      for (const std::size_t row : {4u, 17u, 40u}) {
        logits.student[row * classes] = logits.teacher[row * classes] = kMasked;
        logits.teacher[(row + 1) * classes + 1] = kMasked;
        logits.student[(row + 2) * classes + 1] = kMasked;
      }
      for (const layout how : {layout::compact, layout::column_major}) {
        const outcome serial = run<float>(loss, logits, how, {});
        block_executor executor(3, 5);
        const outcome cut = run<float>(loss, logits, how, {.executor = executor});
        INFO(loss.name << ", " << classes << " classes, " << name_of(how));
        CHECK(cut.gradient == serial.gradient);
        for (std::size_t row = 0; row < rows; ++row)
          CHECK((cut.values[row] == serial.values[row] ||
                 (std::isnan(cut.values[row]) && std::isnan(serial.values[row]))));
      }
    }
}

// 64 scratch slots serve more workers than that.
TEST_CASE("an executor may claim more workers than there are rows or slots") {
  const logit_pair logits = independent_logits(200, 40, 1);
  block_executor many(100, 1);
  const loss_case loss = case_of(reverse_kl{});
  CHECK(run<float>(loss, logits, layout::compact, {.executor = many}) ==
        run<float>(loss, logits, layout::compact, {}));
}

TEST_CASE("an executor is asked to run the rows") {
  const logit_pair logits = independent_logits(9, 4, 1);
  block_executor executor(2, 3);
  (void)run<float>(case_of(forward_kl{}), logits, layout::compact, {.executor = executor});
  CHECK(executor.calls() == 1);
}
