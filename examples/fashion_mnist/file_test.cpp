// Every defect of a data file or a checkpoint is named. Usage: file_test FOLDER (written to).

#include <zlib.h>

#include <algorithm>
#include <distill/interop/json.hpp>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <stdexcept>

#include "data/idx_file.hpp"
#include "multilayer_perceptron.hpp"
#include "resumable_training.hpp"

namespace fs = std::filesystem;

namespace fashion_mnist {
namespace {

int failures = 0;

void check(bool holds, const std::string& what) {
  if (holds) return;
  ++failures;
  std::cout << "FAILED: " << what << "\n";
}

void check_rejected(const std::function<void()>& reading, const std::string& expected) {
  try {
    reading();
    check(false, "accepted, expected: " + expected);
  } catch (const std::runtime_error& error) {
    check(std::string(error.what()).find(expected) != std::string::npos,
          "said: " + std::string(error.what()) + "\n   expected: " + expected);
  }
}

std::string content_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

fs::path write(const fs::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary) << bytes;
  return file;
}

fs::path write_gzipped(const fs::path& file, const std::string& bytes) {
  const gzFile stream = gzopen(file.c_str(), "wb");
  gzwrite(stream, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(stream);
  return file;
}

std::string big_endian(std::initializer_list<unsigned> values) {
  std::string bytes;
  for (unsigned value : values) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xFF);
  }
  return bytes;
}

/// Bytes that do not shrink when packed, so that cutting the packed file cuts deep into them.
std::string noise(std::size_t count) {
  std::string bytes(count, '\0');
  unsigned state = 1;
  for (char& byte : bytes) byte = static_cast<char>((state = state * 1664525U + 1013904223U) >> 24);
  return bytes;
}

void test_images(const fs::path& folder) {
  const std::string images = big_endian({0x803, 3, 28, 28}) + noise(3 * 784);
  const fs::path intact = write_gzipped(folder / "images.gz", images);
  check(data::read_images(intact, 3)[3 * 784 - 1] == static_cast<unsigned char>(images.back()),
        "the last pixel");

  const auto rejected = [](const fs::path& file, const std::string& got) {
    check_rejected([&] { data::read_images(file, 3); },
                   file.string() + ": expected 3 images of 28 x 28 = 2368 bytes, got " + got);
  };
  rejected(folder / "absent.gz", "no readable file");
  rejected(write(folder / "plain.gz", images), "a file that is not gzipped");
  rejected(write_gzipped(folder / "short.gz", images.substr(0, 2000)), "2000");
  rejected(write_gzipped(folder / "header.gz", images.substr(0, 7)), "7");
  rejected(write_gzipped(folder / "long.gz", images + "x"), "more");
  rejected(write_gzipped(folder / "extent.gz", big_endian({0x803, 3, 28, 27})), "extent 27 on axis 2");

  std::string packed = content_of(intact);
  rejected(write(folder / "cut.gz", packed.substr(0, packed.size() / 2)), "");
  rejected(write(folder / "cut_trailer.gz", packed.substr(0, packed.size() - 4)),
           "2368 before the gzip file breaks off");
  packed[packed.size() / 2] = static_cast<char>(packed[packed.size() / 2] ^ 1);
  rejected(write(folder / "corrupt.gz", packed), "a corrupt gzip file");

  const fs::path labels = write_gzipped(folder / "magic.gz", big_endian({0x801, 3, 28, 28}) + noise(3 * 784));
  check_rejected([&] { data::read_images(labels, 3); }, "magic.gz: expected magic number 2051, got 2049");
}

void test_labels(const fs::path& folder) {
  const fs::path intact =
      write_gzipped(folder / "labels.gz", big_endian({0x801, 2}) + "\x09" + std::string(1, '\0'));
  check(data::read_labels(intact, 2) == label_vector{9, 0}, "two labels");
  const fs::path wrong = write_gzipped(folder / "wrong.gz", big_endian({0x801, 2}) + "\x09\x0A");
  check_rejected([&] { data::read_labels(wrong, 2); }, "wrong.gz: label 1: expected 0 to 9, got 10");
}

training_identity some_identity() { return {{"curriculum", "text"}, {"data", "1"}, {"seed", "3"}}; }

training_state some_state() {
  training_state state(5);
  state.optimizer.mean.setLinSpaced(-1, 1);
  state.optimizer.square.setLinSpaced(0, 1e-30F);
  state.optimizer.steps = 9;
  state.position = {.stage = 1, .stage_steps = 4, .steps = 9, .epochs = 2, .previous_stage = 0};
  state.records = {{0.1, {0.2, 0.3, 0.4}}, {1.0 / 3, {0.5, 0.25, 1e-300}}};
  state.summed_loss = 0.7;
  return state;
}

bool is_same(const training_state& a, const training_state& b) {
  const auto is_equal = [](const epoch_record& x, const epoch_record& y) {
    return x.training_loss == y.training_loss && x.validation.accuracy == y.validation.accuracy &&
           x.validation.negative_log_likelihood == y.validation.negative_log_likelihood &&
           x.validation.calibration_error == y.validation.calibration_error;
  };
  return a.optimizer.mean == b.optimizer.mean && a.optimizer.square == b.optimizer.square &&
         a.optimizer.steps == b.optimizer.steps && a.position == b.position &&
         a.summed_loss == b.summed_loss &&
         std::equal(a.records.begin(), a.records.end(), b.records.begin(), b.records.end(), is_equal);
}

template <class Error>
void check_refused(const fs::path& file, const training_identity& identity, index count,
                   const std::string& reason) {
  vector parameters = vector::Constant(count, 7);
  training_state state(count);
  try {
    read_checkpoint(file, identity, parameters, state);
    check(false, "accepted, expected: " + reason);
  } catch (const Error& error) {
    const std::string said = error.what();
    check(said.starts_with(file.string() + ": ") && said.find(reason) != std::string::npos,
          "said: " + said + "\n   expected: " + reason);
  } catch (const std::exception& error) {
    check(false, "another kind of error: " + std::string(error.what()) + "\n   expected: " + reason);
  }
  check(parameters == vector::Constant(count, 7) && is_same(state, training_state(count)),
        "a checkpoint that is refused changes nothing");
}

void test_checkpoints(const fs::path& folder) {
  const fs::path file = folder / "checkpoints" / "some.checkpoint";
  const vector written = vector::LinSpaced(5, -1, 1);
  write_checkpoint(file, some_identity(), written, some_state());
  vector read(5);
  training_state state(5);
  read_checkpoint(file, some_identity(), read, state);
  check(read == written && is_same(state, some_state()), "a checkpoint comes back");
  check(!fs::exists(file.string() + ".unfinished"), "nothing is left beside a checkpoint");

  const std::string bytes = content_of(file);
  const auto refused = [&](const std::string& damaged, const std::string& reason) {
    check_refused<checkpoint_error>(write(folder / "damaged.checkpoint", damaged), some_identity(), 5,
                                    reason);
  };
  check_refused<checkpoint_error>(folder / "absent", some_identity(), 5, "cannot be opened");
  refused("", "unexpected end of input");
  refused("damaged", "");
  refused(bytes.substr(0, bytes.size() / 2), "unexpected end of input");
  refused(bytes + "x", "");
  for (std::size_t i = 0; i < bytes.size(); i += 7) {
    std::string flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ 4);
    refused(flipped, "");
  }
  std::string wrong = bytes;
  wrong[bytes.find("seed") + 5] ^= 1;
  refused(wrong, "the checksum is wrong");
  wrong = bytes;
  wrong[bytes.find("fashion_mnist checkpoint")] = 'F';
  refused(wrong, "is no checkpoint of this program");
  wrong = bytes;
  wrong[bytes.rfind("version") + 7] = 2;
  refused(wrong, "is of version 2, expected 1");
  check_refused<checkpoint_error>(file, some_identity(), 6, "expected 6 parameters, got 20 bytes");

  training_identity other = some_identity();
  other["seed"] = "4";
  check_refused<foreign_checkpoint>(file, other, 5, "belongs to another training, whose seed differs");
  other["curriculum"] = "another";
  check_refused<foreign_checkpoint>(file, other, 5, "whose curriculum and seed differ");
}

/// What resumable_training makes of them.
void test_use_of_checkpoints(const fs::path& folder) {
  const perceptron_shape shape{.widths = {2, 3}};
  const distill::curriculum plan{.stages = {{.name = "only", .length = {.amount = 7}}}};
  const safekeeping keeping{.folder = folder};
  const fs::path file = folder / "one.checkpoint";
  training_identity identity{{"seed", "3"}};
  training_identity stored = identity;
  stored["curriculum"] = distill::save_json(plan);
  const auto earlier_steps = [&](const safekeeping& how) {
    multilayer_perceptron model(shape, 1);
    return resumable_training(model, plan, "one", identity, how).earlier_steps();
  };
  training_state state(9);
  state.position = {.stage_steps = 4, .steps = 4};
  write_checkpoint(file, stored, vector::Zero(9), state);
  check(earlier_steps(keeping) == 4, "a training goes on");
  check(earlier_steps({.folder = folder, .starts_over = true}) == 0, "a training starts over");
  identity["seed"] = "4";
  check(earlier_steps(keeping) == 0, "a checkpoint of another seed is not used");
  identity["seed"] = "3";
  state.position.stage_steps = state.position.steps = 8;
  write_checkpoint(file, stored, vector::Zero(9), state);
  check_rejected([&] { earlier_steps(keeping); },
                 file.string() + ": cursor: state is beyond the end of stages[0]");
}

int run(const fs::path& folder) {
  fs::create_directories(folder);
  test_images(folder);
  test_labels(folder);
  test_checkpoints(folder);
  test_use_of_checkpoints(folder);
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace fashion_mnist

int main(int, char** arguments) { return fashion_mnist::run(arguments[1]); }
