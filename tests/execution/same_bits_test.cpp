// Whoever runs the rows, softmax and the losses give the same bits.
#include <catch2/catch.hpp>

#include <distill/loss/forward_kl.hpp>
#include <distill/numeric/log_softmax.hpp>
#include <distill/numeric/softmax.hpp>

#include "execution/every_executor.hpp"
#include "support/guarded_matrix.hpp"
#include "support/random_logits.hpp"

using namespace executors_under_test;
using support::guarded_matrix;
using support::layout;

namespace {

struct problem {
  guarded_matrix<float> student, teacher, gradient;

  problem(std::size_t rows, std::size_t classes, layout how)
      : student(rows, support::independent_logits(rows, classes, 31).student, how),
        teacher(rows, support::independent_logits(rows, classes, 31).teacher, how),
        gradient(rows, classes, how) {}

  std::vector<unsigned char> softmax_bits(const distill::executor_ref& executor) {
    distill::softmax(student.view(), gradient.view(), {.temperature = 2, .executor = executor});
    return gradient.bits();
  }
  std::vector<unsigned char> log_softmax_bits(const distill::executor_ref& executor) {
    distill::log_softmax(student.view(), gradient.view(), {.executor = executor});
    return gradient.bits();
  }
  std::vector<unsigned char> forward_kl_bits(const distill::executor_ref& executor) {
    distill::row_options rows;
    rows.executor = executor;
    const double value =
        distill::forward_kl{.temperature = 2}(student.view(), teacher.view(), gradient.view(), rows);
    std::vector<unsigned char> bits = gradient.bits();
    const auto* bytes = reinterpret_cast<const unsigned char*>(&value);
    bits.insert(bits.end(), bytes, bytes + sizeof value);
    return bits;
  }
};

struct shape {
  std::size_t rows, classes;
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("the executor leaves no trace in the results", "", every_executor) {
  for (const auto& [rows, classes] : {shape{3001, 10}, shape{501, 100}, shape{67, 1000}, shape{13, 40000}})
    for (const layout how : {layout::compact, layout::column_major}) {
      problem task(rows, classes, how);
      const auto softmax = task.softmax_bits({}), log_softmax = task.log_softmax_bits({});
      const auto forward_kl = task.forward_kl_bits({});
      for (const std::size_t workers : {1, 2, 3, 7}) {
        TestType made(workers);
        CAPTURE(rows, classes, support::name_of(how), workers);
        CHECK(task.softmax_bits(made.get()) == softmax);
        CHECK(task.log_softmax_bits(made.get()) == log_softmax);
        CHECK(task.forward_kl_bits(made.get()) == forward_kl);
      }
    }
}
