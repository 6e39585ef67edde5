// Which memory a loss reads and writes.
#include <catch2/catch.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/jensen_shannon.hpp>
#include <distill/loss/skewed_reverse_kl.hpp>
#include <distill/numeric/bfloat16.hpp>
#include <distill/numeric/float16.hpp>
#include <distill/view/matrix_view.hpp>
#include <limits>
#include <vector>

#include "support/accuracy.hpp"
#include "support/random_logits.hpp"

using namespace distill;
using namespace support;

namespace {

constexpr std::size_t kGuardedRows = 19;
constexpr layout kLayouts[] = {layout::compact,        layout::padded_rows, layout::column_major,
                               layout::padded_columns, layout::every_third, layout::reversed_rows};

template <class T>
void check_in_place(const loss_case& loss, std::size_t classes, layout how) {
  const logit_pair logits = independent_logits(kGuardedRows, classes, classes);
  guarded_matrix<T> student(kGuardedRows, logits.student, how);
  const guarded_matrix<T> teacher(kGuardedRows, logits.teacher);
  guarded_matrix<T> gradient(kGuardedRows, classes, how);
  const double apart = loss(student.view(), teacher.view(), gradient.view());
  const double in_place = loss(student.view(), teacher.view(), student.view());
  INFO(loss.name << ", " << classes << " classes, " << name_of(how) << ", "
                 << name_of(element_traits<T>::type));
  CHECK(in_place == apart);
  CHECK(student.bits() == gradient.bits());
  CHECK(student.is_intact());
}

}  // namespace

TEST_CASE("a gradient in the student's own memory is the same") {
  for (const std::size_t classes : {1u, 3u, 8u, 40u, 300u})
    for (const loss_case& loss : default_cases(kGuardedRows, classes))
      for (const layout how : kLayouts) {
        check_in_place<float>(loss, classes, how);
        check_in_place<double>(loss, classes, how);
        check_in_place<bfloat16>(loss, classes, how);
        check_in_place<float16>(loss, classes, how);
      }
}

// Rows that are evaluated a second time, in double, must not have been overwritten by the first.
TEST_CASE("a gradient in the student's own memory, with masked logits") {
  for (const std::size_t classes : {8u, 40u})
    for (const loss_case& loss :
         {case_of(jensen_shannon{}), case_of(skewed_reverse_kl{}), case_of(forward_kl{})}) {
      logit_pair logits = independent_logits(kGuardedRows, classes, classes);
      for (const std::size_t row : {2u, 9u})
        logits.teacher[row * classes] = -std::numeric_limits<double>::infinity();
      logits.student[5 * classes] = -200;
      guarded_matrix<float> student(kGuardedRows, logits.student), gradient(kGuardedRows, classes);
      const guarded_matrix<float> teacher(kGuardedRows, logits.teacher);
      const double apart = loss(student.view(), teacher.view(), gradient.view());
      INFO(loss.name);
      CHECK(loss(student.view(), teacher.view(), student.view()) == apart);
      CHECK(student.bits() == gradient.bits());
    }
}

TEST_CASE("inputs stay as they are, whatever their start") {
  for (const std::size_t classes : {3u, 17u, 70u})
    for (const loss_case& loss : default_cases(kGuardedRows, classes))
      for (const std::size_t offset : {0u, 1u, 3u, 7u}) {
        const logit_pair logits = independent_logits(kGuardedRows, classes, classes);
        const guarded_matrix<float> aligned(kGuardedRows, logits.student),
            other(kGuardedRows, logits.teacher);
        guarded_matrix<float> expected(kGuardedRows, classes);
        const double value = loss(aligned.view(), other.view(), expected.view());
        const guarded_matrix<float> student(kGuardedRows, logits.student, layout::padded_rows, offset);
        const guarded_matrix<float> teacher(kGuardedRows, logits.teacher, layout::padded_rows,
                                            2 * offset + 1);
        guarded_matrix<float> gradient(kGuardedRows, classes, layout::padded_rows, offset + 2);
        INFO(loss.name << ", " << classes << " classes, offset " << offset);
        CHECK(loss(student.view(), teacher.view(), gradient.view()) == value);
        CHECK(gradient.bits() == expected.bits());
        CHECK(gradient.is_intact());
        CHECK(student.is_intact());
        CHECK(student.bits() == aligned.bits());
        CHECK(teacher.bits() == other.bits());
      }
}

TEST_CASE("student, teacher and gradient may be column windows of one buffer") {
  constexpr std::size_t classes = 12;
  const logit_pair logits = independent_logits(kGuardedRows, classes, 3);
  guarded_matrix<float> together(kGuardedRows, 3 * classes);
  for (std::size_t row = 0; row < kGuardedRows; ++row)
    for (std::size_t c = 0; c < classes; ++c) {
      together(row, c) = static_cast<float>(logits.student[row * classes + c]);
      together(row, classes + c) = static_cast<float>(logits.teacher[row * classes + c]);
    }
  const auto window = [&](std::size_t i) {
    return matrix_view<float>(together.view().data_handle() + i * classes, kGuardedRows, classes, 3 * classes,
                              1);
  };
  const guarded_matrix<float> student(kGuardedRows, logits.student), teacher(kGuardedRows, logits.teacher);
  guarded_matrix<float> gradient(kGuardedRows, classes);
  const double expected = forward_kl{}(student.view(), teacher.view(), gradient.view());
  CHECK(forward_kl{}(window(0), window(1), window(2)) == expected);
  for (std::size_t row = 0; row < kGuardedRows; ++row)
    for (std::size_t c = 0; c < classes; ++c)
      REQUIRE(together.at(row, 2 * classes + c) == gradient.at(row, c));
}

TEST_CASE("the teacher may be broadcast: stride 0 between rows") {
  constexpr std::size_t classes = 12;
  const logit_pair logits = independent_logits(kGuardedRows, classes, 3);
  const matrix_view z(logits.student.data(), kGuardedRows, classes);
  const matrix_view once(logits.teacher.data(), kGuardedRows, classes, 0, 1);
  std::vector<double> repeated;
  for (std::size_t row = 0; row < kGuardedRows; ++row)
    repeated.insert(repeated.end(), logits.teacher.begin(), logits.teacher.begin() + classes);
  CHECK(forward_kl{}(z, once) == forward_kl{}(z, matrix_view(repeated.data(), kGuardedRows, classes)));
}

TEST_CASE("partial overlap is refused and nothing is written") {
  std::vector<float> memory(100);
  for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<float>(i);
  const std::vector<float> before = memory;
  std::vector<float> other(40, 1.0f);
  const matrix_view whole(memory.data(), 4, 10), shifted(memory.data() + 1, 4, 10),
      apart(other.data(), 4, 10);
  const matrix_view transposed(memory.data(), 4, 10, 1, 4);
  CHECK_THROWS_WITH(forward_kl{}(whole, apart, shifted),
                    "forward_kl: gradient overlaps student without being exactly the same elements");
  CHECK_THROWS_WITH(forward_kl{}(apart, whole, shifted),
                    "forward_kl: gradient overlaps teacher without being exactly the same elements");
  CHECK_THROWS_AS(forward_kl{}(whole, apart, transposed), layout_error);
  CHECK_THROWS_WITH(forward_kl{}(apart, apart, whole, {.row_weights = {memory.data() + 3, 4}}),
                    "forward_kl: gradient overlaps row_weights");
  CHECK(memory == before);
  std::vector<double> doubles(40, 1.0);
  const matrix_view g(doubles.data(), 4, 10);
  const std::vector<double> z(40), t(40);
  CHECK_THROWS_WITH(forward_kl{}(matrix_view(z.data(), 4, 10), matrix_view(t.data(), 4, 10), g,
                                 {.row_values = {doubles.data(), 4}}),
                    "forward_kl: gradient overlaps row_values");
  CHECK(doubles == std::vector<double>(40, 1.0));
}

TEST_CASE("memory that is not aligned to its elements is refused") {
  alignas(8) unsigned char bytes[100] = {};
  float z[4] = {}, g[4] = {};
  const matrix_view odd(reinterpret_cast<float*>(bytes + 1), 2, 2);
  const matrix_view student(z, 2, 2), gradient(g, 2, 2);
  CHECK_THROWS_WITH(forward_kl{}(odd, student), "forward_kl: student is not aligned to its 4-byte elements");
  CHECK_THROWS_WITH(forward_kl{}(student, odd), "forward_kl: teacher is not aligned to its 4-byte elements");
  CHECK_THROWS_WITH(forward_kl{}(student, student, odd),
                    "forward_kl: gradient is not aligned to its 4-byte elements");
  CHECK_THROWS_AS(forward_kl{}(odd, student), layout_error);
}

TEST_CASE("a gradient with a stride of 0 is refused") {
  const float z[4] = {};
  float g[4] = {};
  CHECK_THROWS_AS(forward_kl{}(matrix_view(z, 2, 2), matrix_view(z, 2, 2), matrix_view(g, 2, 2, 0, 1)),
                  layout_error);
}
