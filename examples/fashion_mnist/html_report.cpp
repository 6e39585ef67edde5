#include <algorithm>
#include <functional>

#include "bitmap.hpp"
#include "report.hpp"
#include "report/curriculum_section.hpp"
#include "report/expert_table.hpp"
#include "report/line_chart.hpp"
#include "report/page.hpp"
#include "report/spread.hpp"
#include "report/text.hpp"
#include "report_template.hpp"
#include "summary.hpp"

namespace fashion_mnist {

using namespace report;

namespace {

using epoch_value = std::function<double(const epoch_record&)>;

curve curve_of(const std::string& style, const std::vector<student_result>& students,
               const epoch_value& value) {
  std::vector<std::vector<double>> values(students.size());
  for (std::size_t i = 0; i < students.size(); ++i)
    for (const epoch_record& epoch : students[i].records) values[i].push_back(value(epoch));
  return curve_over_seeds(style, values);
}

std::string student_chart(const std::string& title, const results& outcome, const epoch_value& value,
                          std::vector<reference_line> references = {}) {
  const auto epochs = static_cast<double>(outcome.hard_label_students.front().records.size());
  return svg({title,
              {"epoch", 1, epochs},
              {curve_of("hard", outcome.hard_label_students, value),
               curve_of("distilled", outcome.distilled_students, value)},
              std::move(references)});
}

/// The curriculum of the students, then those that were not chosen.
std::string curriculum_sections(const experiment_plan& plan, const results& outcome) {
  std::vector<student_curriculum> order = plan.curricula;
  std::rotate(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(outcome.curriculum),
              order.begin() + static_cast<std::ptrdiff_t>(outcome.curriculum) + 1);
  std::string html;
  for (const student_curriculum& one : order) {
    html += std::string(html.empty() ? "<h3>" : "<h3>Not chosen: ") + "<code>" + escaped(one.name) +
            "</code></h3>\n" + curriculum_section(one, plan.student_steps_per_epoch());
  }
  return html;
}

std::string trial_table(const experiment_plan& plan, const results& outcome) {
  if (outcome.trials.empty()) return "";
  std::string html =
      "<p>Of " + std::to_string(outcome.trials.size()) + " curricula" +
      " this run chose one: " + counted(plan.trial_seed_count, "student") +
      " each, with seeds that are not compared above, and the highest mean validation accuracy "
      "won.</p>\n<div class='card narrow'><table><thead><tr><th>curriculum</th>"
      "<th>validation accuracy</th><th>validation NLL</th></tr></thead><tbody>\n";
  for (std::size_t i = 0; i < outcome.trials.size(); ++i) {
    const curriculum_trial& trial = outcome.trials[i];
    const bool is_chosen = i == outcome.curriculum;
    html += std::string("<tr") + (is_chosen ? " class='chosen'" : "") + "><td>" + escaped(trial.name) +
            (is_chosen ? " (chosen)" : "") + "</td><td>" + percent(trial.accuracy, 2) + "</td><td>" +
            fixed(trial.negative_log_likelihood, 3) + "</td></tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

/// The three likeliest classes as bars.
std::string probability_bars(const std::string& heading, const vector& probabilities) {
  std::vector<index> classes(static_cast<std::size_t>(class_count));
  for (index i = 0; i < class_count; ++i) classes[static_cast<std::size_t>(i)] = i;
  std::partial_sort(classes.begin(), classes.begin() + 3, classes.end(),
                    [&](index a, index b) { return probabilities(a) > probabilities(b); });
  std::string html = "<b>" + heading + "</b>";
  for (std::size_t rank = 0; rank < 3; ++rank) {
    const std::string share = percent(static_cast<double>(probabilities(classes[rank])), 1);
    html += std::string("<span>") + class_name(classes[rank]) +
            "</span><i style='width:" + share.substr(0, share.find(' ')) + "%'></i><span>" + share +
            "</span>";
  }
  return html;
}

std::string soft_label_cards(const results& outcome) {
  std::string html;
  for (const soft_label& example : outcome.soft_labels) {
    const std::string name = class_name(example.label);
    html += "<div class='card'><h3>Label: " + name + "</h3><img alt='image of class " + name + "' src='" +
            bitmap_uri(example.pixels) + "'><div class='bars'>" +
            probability_bars("temperature 1", example.probabilities) +
            probability_bars("temperature " + fixed(softening_temperature, 0), example.softened) +
            "</div></div>\n";
  }
  return html;
}

/// Experts as columns, classes as rows; nothing for a teacher without experts.
std::string expert_section(const mixture_of_experts::counts& routes, const mixture_shape& shape) {
  if (routes.size() == 0) return "";
  const auto row_of = [&](const auto& row) { return std::vector<std::int64_t>(row.begin(), row.end()); };
  std::vector<expert_picks> rows = {{"all", row_of(routes.colwise().sum())}};
  for (index label = 0; label < routes.rows(); ++label)
    rows.push_back({class_name(label), row_of(routes.row(label))});
  return "<h2>Which experts the teacher used</h2>\n<p>For every validation image the gate picked " +
         std::to_string(shape.experts_per_image) + " of " + std::to_string(shape.experts) + " experts" +
         described_usage(rows.front().picks) +
         " Rows are classes, columns experts, numbers percent of a row.</p>\n" + expert_table("class", rows);
}

std::string describe(const perceptron_shape& shape) {
  std::string text = "multilayer perceptron ";
  for (std::size_t i = 0; i < shape.widths.size(); ++i) {
    text += (i == 0 ? "" : "–") + std::to_string(shape.widths[i]);
  }
  return shape.dropout > 0 ? text + ", dropout " + fixed(shape.dropout, 1) : text;
}

std::string describe(const mixture_shape& shape) {
  std::string text = "mixture of " + std::to_string(shape.experts) + " experts, " +
                     std::to_string(shape.experts_per_image) + " per image, " + std::to_string(shape.hidden) +
                     " features, experts " + std::to_string(shape.hidden) + "–" +
                     std::to_string(shape.expert_hidden) + "–" + std::to_string(shape.hidden);
  return shape.dropout > 0 ? text + ", dropout " + fixed(static_cast<double>(shape.dropout), 1) : text;
}

std::string describe(const convolutional_shape& shape) {
  std::string text = "two 3 × 3 convolutions of " + std::to_string(shape.first_channels) + " and " +
                     std::to_string(shape.second_channels) + " channels, each with 2 × 2 pooling, then " +
                     std::to_string(shape.hidden) + " features";
  return shape.dropout > 0 ? text + ", dropout " + fixed(static_cast<double>(shape.dropout), 1) : text;
}

std::string describe_teacher(const experiment_plan& plan) {
  switch (plan.teacher) {
    case teacher_kind::mixture:
      return describe(plan.teacher_mixture);
    case teacher_kind::perceptron:
      return describe(plan.teacher_perceptron);
    default:
      return describe(plan.teacher_convolutional);
  }
}

std::string mirror_note(bool mirror) { return mirror ? ", images mirrored every other time" : ""; }

std::string describe(const teacher_training& plan) {
  std::string text = std::to_string(plan.epochs) + " epochs of Adam, batches of " +
                     std::to_string(plan.batch_size) + ", learning rate " + fixed(plan.learning_rate, 4) +
                     " falling to 0 along a cosine";
  return text + mirror_note(plan.mirror);
}

placeholder_values measured(const experiment_plan& plan, const results& outcome) {
  const std::vector<std::string> columns(column_names.begin(), column_names.end());
  std::vector<std::vector<std::string>> rows;
  for (const table_row& row : result_table(outcome)) rows.emplace_back(row.begin(), row.end());
  const double gain = 100 * spread_of(accuracy_gains(outcome)).mean;
  const model_cost& teacher = outcome.teacher_cost;
  const model_cost& student = outcome.student_cost;
  return {
      {"gain", signed_fixed(gain, 2)},
      {"size_ratio",
       fixed(static_cast<double>(teacher.parameters) / static_cast<double>(student.parameters), 0)},
      {"speed_ratio", fixed(teacher.microseconds_per_image / student.microseconds_per_image, 0)},
      {"teacher_parameters", grouped(teacher.parameters)},
      {"student_parameters", grouped(student.parameters)},
      {"teacher_time", fixed(teacher.microseconds_per_image, 1)},
      {"student_time", fixed(student.microseconds_per_image, 1)},
      {"time", minutes(outcome.seconds)},
      {"verdict", verdict(outcome)},
      {"result_columns", column_heads(columns)},
      {"result_rows", table_rows(columns, rows)},
      {"trials", trial_table(plan, outcome)},
      {"curricula", curriculum_sections(plan, outcome)},
      {"soft_labels", soft_label_cards(outcome)},
      {"experts", expert_section(outcome.routes, plan.teacher_mixture)},
  };
}

placeholder_values charts(const results& outcome) {
  const scores& teacher = outcome.teacher_validation;
  return {
      {"accuracy_chart",
       student_chart("Validation accuracy of the students over epochs", outcome,
                     [](const epoch_record& epoch) { return 100 * epoch.validation.accuracy; },
                     {{"teacher", 100 * teacher.accuracy}})},
      {"likelihood_chart",
       student_chart("Validation negative log-likelihood of the students over epochs", outcome,
                     [](const epoch_record& epoch) { return epoch.validation.negative_log_likelihood; },
                     {{"teacher", teacher.negative_log_likelihood}})},
      {"loss_chart", student_chart("Training loss of the students over epochs", outcome,
                                   [](const epoch_record& epoch) { return epoch.training_loss; })},
  };
}

placeholder_values planned(const experiment_plan& plan) {
  return {
      {"quick_notice", plan.name == "quick"
                           ? "<p class='notice'>This was a quick run on few images and epochs. It "
                             "shows that everything works; its numbers mean little.</p>"
                           : ""},
      {"seeds", counted(plan.seed_count, "seed")},
      {"training_size", grouped(plan.sizes.training)},
      {"validation_size", grouped(plan.sizes.validation)},
      {"test_size", grouped(plan.sizes.test)},
      {"teacher_shape", describe_teacher(plan)},
      {"teacher_training", describe(plan.teaching)},
      {"student_shape", describe(plan.student_shape)},
      {"student_batch_size", std::to_string(plan.student_batch_size) + mirror_note(plan.student_mirror)},
  };
}

}  // namespace

std::string html_report(const experiment_plan& plan, const results& outcome) {
  placeholder_values values = measured(plan, outcome);
  values.merge(charts(outcome));
  values.merge(planned(plan));
  return filled_page(report_template, values);
}

}  // namespace fashion_mnist
